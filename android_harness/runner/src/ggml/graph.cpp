#include "graph.h"

#include "failure.h"

#include <array>
#include <iterator>
#include <numeric>

namespace fwdllm {

Graph::Graph(const Device & device, size_t tensors)
    : device_(device), tensors_(tensors), context_(new_context(tensors, tensors)),
      graph_(ggml_new_graph_custom(context_.get(), tensors, /*grads=*/false)) {}

Graph::Division::Division(const Device & device, size_t tensors) : backend_(device.new_backend()) {
    ggml_backend_t backends[] = { backend_.get(), device.cpu().backend() };
    scheduler_.reset(ggml_backend_sched_new(backends, nullptr, int(std::size(backends)), tensors,
                                            /*parallel=*/false, /*op_offload=*/false));
}

size_t Graph::bytes() const {
    std::array<size_t, 2> sizes{};
    if (device_.is_cpu()) {
        Handle<ggml_gallocr_t, ggml_gallocr_free> trial(
            ggml_gallocr_new(ggml_backend_cpu_buffer_type()));
        ggml_gallocr_reserve_n_size(trial.get(), graph_, nullptr, nullptr, sizes.data());
    } else {
        const Division trial(device_, tensors_);
        ggml_backend_sched_reserve_size(trial.scheduler(), graph_, sizes.data());
    }
    return std::accumulate(sizes.begin(), sizes.end(), size_t(0)) +
           tensors_ * ggml_tensor_overhead() +
           ggml_graph_overhead_custom(tensors_, /*grads=*/false);
}

void Graph::allocate() {
    bool done;
    if (device_.is_cpu()) {
        memory_.reset(ggml_gallocr_new(ggml_backend_cpu_buffer_type()));
        done = ggml_gallocr_alloc_graph(memory_.get(), graph_);
    } else {
        division_.emplace(device_, tensors_);
        done = ggml_backend_sched_alloc_graph(division_->scheduler(), graph_);
    }
    if (!done) {
        throw Failure("out of memory for " + std::to_string(bytes()) + " bytes of activations");
    }
}

void Graph::run() {
    if (device_.is_cpu()) {
        device_.cpu().compute(graph_);
        return;
    }
    const ggml_status status = ggml_backend_sched_graph_compute(division_->scheduler(), graph_);
    if (status != GGML_STATUS_SUCCESS) {
        throw Failure("a pass failed on " + device_.name() + ": " + ggml_status_to_string(status));
    }
}

// Views and the like, which compute nothing.
static bool is_free(const ggml_tensor * node) {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_RESHAPE:
        case GGML_OP_VIEW:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE: return true;
        default: return false;
    }
}

Coverage Graph::coverage() const {
    Coverage coverage;
    for (int i = 0; i < ggml_graph_n_nodes(graph_); i++) {
        ggml_tensor * node = ggml_graph_node(graph_, i);
        if (is_free(node)) continue;
        const bool on_device =
            device_.is_cpu() || ggml_backend_sched_get_tensor_backend(division_->scheduler(), node) !=
                                    device_.cpu().backend();
        if (on_device) {
            coverage.on_device++;
        } else {
            coverage.on_cpu[ggml_op_name(node->op)]++;
        }
    }
    return coverage;
}

}  // namespace fwdllm
