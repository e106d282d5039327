// A ggml graph with memory of its own for what it computes, on one device.
#pragma once

#include "coverage.h"
#include "device.h"

#include "ggml-alloc.h"

#include <memory>
#include <optional>
#include <vector>

namespace fwdllm {

class Graph {
  public:
    // Room for the headers of `tensors` tensors, inputs of other contexts not counted.
    Graph(const Device & device, size_t tensors);

    const Device & device() const { return device_; }
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

    // Bytes that `allocate` will take on the device and beside it, and those of the headers. On
    // another device than the CPU only of a graph that is never run: to plan, ggml's scheduler
    // writes places of its own into the nodes.
    size_t bytes() const;
    void allocate();
    void run();
    Coverage coverage() const;  // once allocated

  private:
    // Divides a graph between a device and the CPU. Each graph has a queue of its own: ggml's
    // Vulkan queue reuses descriptor sets, and in one that outlived a graph they would still name
    // its freed buffers. Shaders never look there, but Mesa's lavapipe of 22.3 takes references.
    class Division {
      public:
        Division(const Device & device, size_t tensors);
        ggml_backend_sched_t scheduler() const { return scheduler_.get(); }

      private:
        BackendHandle backend_;
        Handle<ggml_backend_sched_t, ggml_backend_sched_free> scheduler_;
    };

    const Device & device_;
    const size_t tensors_;
    ContextHandle context_;
    ggml_cgraph * graph_;
    // The CPU alone needs no scheduler, whose own tables would outgrow a small model.
    Handle<ggml_gallocr_t, ggml_gallocr_free> memory_;
    std::optional<Division> division_;
    std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace fwdllm
