#include "head.h"

#include "custom_node.h"

namespace fwdllm {

// All threads take turns.
static void cross_entropies(ggml_tensor * result, int thread, int threads, void *) {
    const ggml_tensor * logits = result->src[0];
    const int32_t * targets = static_cast<const int32_t *>(result->src[1]->data);
    double * out = static_cast<double *>(result->data);
    for (int64_t column = thread; column < logits->ne[1]; column += threads) {
        const float * values = static_cast<const float *>(logits->data) + column * logits->ne[0];
        const PositionLoss loss = cross_entropy(values, logits->ne[0], targets[column]);
        out[2 * column] = loss.nats;
        out[2 * column + 1] = double(loss.predicted);
    }
}

ggml_tensor * head_logits(const LayerOps & ops, ggml_tensor * x, int64_t first, int64_t columns) {
    ggml_tensor * part =
        ggml_view_2d(ops.ctx, x, x->ne[0], columns, x->nb[1], size_t(first) * x->nb[1]);
    return ggml_mul_mat(ops.ctx, ops.model.output(), part);
}

ggml_tensor * add_shifts(const LayerOps & ops, ggml_tensor * logits) {
    return ops.inputs.shifts == nullptr ? logits : ggml_add(ops.ctx, logits, ops.inputs.shifts);
}

ggml_tensor * head_targets(const LayerOps & ops, int64_t first, int64_t columns) {
    return ggml_view_1d(ops.ctx, ops.inputs.targets, columns, size_t(first) * sizeof(int32_t));
}

ggml_tensor * column_losses(const LayerOps & ops, ggml_tensor * logits, ggml_tensor * targets) {
    Arguments arguments;
    for (ggml_tensor * t : { logits, targets }) arguments.add(t);
    return arguments.node(ops.ctx, GGML_TYPE_F64, 2, logits->ne[1], 1, cross_entropies, nullptr);
}

static void run_loss_tangents(ggml_tensor * node, int thread, int threads, void *) {
    const float * p = data_of(node, 0), * l_dot = data_of(node, 2);
    const int32_t * targets = static_cast<const int32_t *>(node->src[1]->data);
    const int64_t rows = node->src[0]->ne[0], columns = node->src[0]->ne[1];
    double * out = static_cast<double *>(node->data);
    for (int64_t column = thread; column < node->ne[0]; column += threads) {
        out[column] = cross_entropy_tangent(p + column % columns * rows, l_dot + column * rows, rows,
                                            targets[column % columns]);
    }
}

ggml_tensor * loss_tangents(const LayerOps & ops, ggml_tensor * probabilities,
                            ggml_tensor * targets, ggml_tensor * logits_dot) {
    Arguments arguments;
    for (ggml_tensor * t : { probabilities, targets, logits_dot }) arguments.add(t);
    return arguments.node(ops.ctx, GGML_TYPE_F64, logits_dot->ne[1], 1, 1, run_loss_tangents,
                          nullptr);
}

PositionLoss column_loss(const ggml_tensor * losses, int64_t column) {
    const double * values = static_cast<const double *>(losses->data) + 2 * column;
    return { values[0], int64_t(values[1]) };
}

size_t head_nodes(int64_t columns) {
    return 5 * size_t((columns + k_head_columns - 1) / k_head_columns) + 8;
}

}  // namespace fwdllm
