// From the last states to losses: logits of a few columns at a time, and their cross entropy.
#pragma once

#include "layer_ops.h"
#include "loss.h"

namespace fwdllm {

// Logits are made and consumed this many columns at a time: a vocabulary is large, and the loss
// of all positions at once would need more memory than the rest of the pass.
const int64_t k_head_columns = 64;

// [rows of the output matrix, columns] of the normalised states from column `first` on.
ggml_tensor * head_logits(const LayerOps & ops, ggml_tensor * x, int64_t first, int64_t columns);
// The logits that the loss sees.
ggml_tensor * add_shifts(const LayerOps & ops, ggml_tensor * logits);
// float64 [2, columns]: the loss of each column against its target.
ggml_tensor * column_losses(const LayerOps & ops, ggml_tensor * logits, ggml_tensor * targets);
// Of `columns` columns from `first` on.
ggml_tensor * head_targets(const LayerOps & ops, int64_t first, int64_t columns);
// L = −log softmax(l)[target]:  L̇ = Σ p l̇ − l̇[target], float64 [columns of l̇]; those of p and the
// targets are repeated for each direction.
ggml_tensor * loss_tangents(const LayerOps & ops, ggml_tensor * probabilities,
                            ggml_tensor * targets, ggml_tensor * logits_dot);
PositionLoss column_loss(const ggml_tensor * losses, int64_t column);

// An upper bound of the nodes that the losses of `columns` make.
size_t head_nodes(int64_t columns);

}  // namespace fwdllm
