// A ggml graph with memory of its own for what it computes.
#pragma once

#include "cpu.h"

#include "ggml-alloc.h"

#include <memory>
#include <vector>

namespace fwdllm {

class Graph {
  public:
    // Room for the headers of `tensors` tensors, inputs of other contexts not counted.
    explicit Graph(size_t tensors);

    ggml_context * context() const { return context_.get(); }
    // Takes a result and whatever it needs that is not in the graph yet. Nodes run in the order
    // they are taken in, and memory is reused along that order.
    void expand(ggml_tensor * result) { ggml_build_forward_expand(graph_, result); }
    // Keeps what a node refers to for as long as the graph may run.
    template <typename T>
    T * keep(T value) {
        auto kept = std::make_shared<T>(std::move(value));
        kept_.push_back(kept);
        return kept.get();
    }

    // Bytes that `allocate` will take, and those of the headers.
    size_t bytes() const;
    void allocate();
    void run(const Cpu & cpu) { cpu.compute(graph_); }

  private:
    size_t header_bytes_;
    ContextHandle context_;
    ggml_cgraph * graph_;
    Handle<ggml_gallocr_t, ggml_gallocr_free> memory_;
    std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace fwdllm
