#include "cpu.h"

#include "cpu_mask.h"
#include "failure.h"

#include "ggml-alloc.h"

namespace fwdllm {

Cpu::Cpu(int threads, const std::optional<std::string> & mask) : threads_(threads) {
    if (threads > GGML_MAX_N_THREADS) {
        throw Failure(std::to_string(threads) + " threads, at most " +
                      std::to_string(GGML_MAX_N_THREADS) + " are possible");
    }
    if (mask) bind_process(*mask);
    ggml_threadpool_params parameters = ggml_threadpool_params_default(threads);
    pool_.reset(ggml_threadpool_new(&parameters));
    backend_.reset(ggml_backend_cpu_init());
    if (!pool_ || !backend_) throw Failure("ggml's CPU backend does not start");
    ggml_backend_cpu_set_n_threads(backend_.get(), threads);
    ggml_backend_cpu_set_threadpool(backend_.get(), pool_.get());
}

void Cpu::compute(ggml_cgraph * graph) const {
    const ggml_status status = ggml_backend_graph_compute(backend_.get(), graph);
    if (status != GGML_STATUS_SUCCESS) {
        throw Failure(std::string("the forward pass failed: ") + ggml_status_to_string(status));
    }
}

ContextHandle new_context(size_t tensors, size_t graph_nodes) {
    size_t bytes = tensors * ggml_tensor_overhead();
    if (graph_nodes > 0) bytes += ggml_graph_overhead_custom(graph_nodes, /*grads=*/false);
    ContextHandle context(ggml_init({ bytes, nullptr, /*no_alloc=*/true }));
    if (!context) throw Failure("out of memory for tensor headers");
    return context;
}

BufferHandle allocate(ggml_context * context, ggml_backend_buffer_type_t type) {
    BufferHandle buffer(ggml_backend_alloc_ctx_tensors_from_buft(context, type));
    if (!buffer) {
        const size_t bytes = ggml_backend_alloc_ctx_tensors_from_buft_size(context, type);
        throw Failure("out of memory: " + std::to_string(bytes) + " bytes");
    }
    return buffer;
}

}  // namespace fwdllm
