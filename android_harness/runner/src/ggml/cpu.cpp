#include "cpu.h"

#include "failure.h"

#include "ggml-alloc.h"

#include <cerrno>
#include <cstring>
#include <sched.h>

namespace fwdllm {

static int digit_value(char digit) {
    if (digit <= '9') return digit - '0';
    return (digit | 0x20) - 'a' + 10;
}

static void bind_process(const std::string & mask) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int cpu = 0;  // the last digit holds CPUs 0 to 3
    for (size_t i = mask.size() - 1; i >= 2; i--, cpu += 4) {
        for (int bit = 0; bit < 4; bit++) {
            if ((digit_value(mask[i]) >> bit) & 1) CPU_SET(cpu + bit, &set);
        }
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw Failure("the kernel refuses the CPU mask " + mask + ": " + strerror(errno));
    }
}

std::string read_cpu_mask() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        throw Failure(std::string("cannot read the CPU mask back: ") + strerror(errno));
    }
    std::string mask;
    for (int cpu = CPU_SETSIZE - 4; cpu >= 0; cpu -= 4) {
        int value = 0;
        for (int bit = 0; bit < 4; bit++) value |= CPU_ISSET(cpu + bit, &set) ? 1 << bit : 0;
        if (value != 0 || !mask.empty()) mask += "0123456789abcdef"[value];
    }
    return "0x" + mask;
}

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
