#include "graph.h"

#include "failure.h"

namespace fwdllm {

Graph::Graph(size_t tensors)
    : header_bytes_(tensors * ggml_tensor_overhead() +
                    ggml_graph_overhead_custom(tensors, /*grads=*/false)),
      context_(new_context(tensors, tensors)),
      graph_(ggml_new_graph_custom(context_.get(), tensors, /*grads=*/false)) {}

size_t Graph::bytes() const {
    Handle<ggml_gallocr_t, ggml_gallocr_free> trial(
        ggml_gallocr_new(ggml_backend_cpu_buffer_type()));
    size_t bytes = 0;
    ggml_gallocr_reserve_n_size(trial.get(), graph_, nullptr, nullptr, &bytes);
    return bytes + header_bytes_;
}

void Graph::allocate() {
    memory_.reset(ggml_gallocr_new(ggml_backend_cpu_buffer_type()));
    if (!ggml_gallocr_alloc_graph(memory_.get(), graph_)) {
        throw Failure("out of memory for " + std::to_string(bytes()) + " bytes of activations");
    }
}

}  // namespace fwdllm
