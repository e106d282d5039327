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
    // `mask` is a hexadecimal CPU mask, 0x followed by up to 128 digits; it holds for the whole
    // process, so that all threads, also those of the pool, inherit it.
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

// The mask the kernel really keeps for this process, in the same notation.
std::string read_cpu_mask();

// A ggml context that holds tensor headers only; data lives in backend buffers.
ContextHandle new_context(size_t tensors, size_t graph_nodes = 0);

// Gives all tensors of `context` memory in one buffer of `type`.
BufferHandle allocate(ggml_context * context, ggml_backend_buffer_type_t type);

}  // namespace fwdllm
