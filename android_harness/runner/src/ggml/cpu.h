// The CPU that computes: ggml's CPU backend with a thread pool that lives as long as the job.
#pragma once

#include "ggml-backend.h"
#include "ggml-cpu.h"

#include <memory>
#include <optional>
#include <string>
#include <type_traits>

namespace fwdllm {

template <auto release>
struct Releaser {
    template <typename T>
    void operator()(T * pointer) const {
        release(pointer);
    }
};
template <typename T, auto release>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, Releaser<release>>;

using ContextHandle = Handle<ggml_context *, ggml_free>;
using BufferHandle = Handle<ggml_backend_buffer_t, ggml_backend_buffer_free>;

class Cpu {
  public:
    // The process is bound to the CPUs of `mask` (see cpu_mask.h) before the pool starts.
    Cpu(int threads, const std::optional<std::string> & mask);

    ggml_backend_t backend() const { return backend_.get(); }
    int threads() const { return threads_; }
    // Runs the nodes of a graph whose tensors all have memory.
    void compute(ggml_cgraph * graph) const;

  private:
    int threads_;
    // The backend uses the pool until it is freed: members are destroyed in reverse order.
    Handle<ggml_threadpool *, ggml_threadpool_free> pool_;
    Handle<ggml_backend_t, ggml_backend_free> backend_;
};

// A ggml context that holds tensor headers only; data lives in backend buffers.
ContextHandle new_context(size_t tensors, size_t graph_nodes = 0);

// Gives all tensors of `context` memory in one buffer of `type`.
BufferHandle allocate(ggml_context * context, ggml_backend_buffer_type_t type);

}  // namespace fwdllm
