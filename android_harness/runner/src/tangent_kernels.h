// Derivatives of a block's operations along directions, as nodes of a graph that the CPU computes.
//
// A tangent has the columns of its primal, once for each direction: column = direction · columns +
// column of the primal. nullptr stands for a tangent that is zero.
//
// Every element is computed by one thread in an order that the number of threads does not change.
#pragma once

#include "examples.h"
#include "graph.h"
#include "layer_ops.h"
#include "lora.h"

#include <vector>

namespace fwdllm {

// y = w ∘ x / r with r = √(mean x² + ε):  ẏ = w ∘ (ẋ − x · mean(x ∘ ẋ) / r²) / r.
ggml_tensor * norm_tangent(Graph & graph, ggml_tensor * x, ggml_tensor * weight,
                           ggml_tensor * x_dot, float epsilon);

// f = silu(g) ∘ u:  ḟ = (u ∘ silu′(g)) ∘ ġ + silu(g) ∘ u̇, the factors given.
ggml_tensor * gate_tangent(Graph & graph, ggml_tensor * of_gate, ggml_tensor * of_up,
                           ggml_tensor * gate_dot, ggml_tensor * up_dot);

// The sequences that attention sees, and where the weights p of each begin: for each head those
// of query 0 on key 0, of query 1 on keys 0 and 1, and so on.
struct AttentionPlan {
    AttentionPlan(const Batch & batch, const Shapes & shapes);

    struct Sequence {
        int64_t first;     // column
        int64_t length;
        int64_t weights;   // offset of the first head's
    };
    int64_t key_stride() const { return key_value_heads * head_size; }  // between columns

    std::vector<Sequence> sequences;
    int64_t heads, key_value_heads, head_size;
    int64_t columns;
    int64_t weights = 0;  // of all sequences and heads
    float scale;
};

// Causal softmax attention, o = Σ p v with p = softmax(q·k · scale); q [head_size, heads, columns],
// k and v with key_value_heads. The plan must outlive the graph.
ggml_tensor * attention_weights(const AttentionPlan & plan, Graph & graph, ggml_tensor * q,
                                ggml_tensor * k);
// [heads · head_size, columns]
ggml_tensor * attention_output(const AttentionPlan & plan, Graph & graph, ggml_tensor * weights,
                               ggml_tensor * v);
// ȯ = Σ ṗ v + p v̇ with ṗ = p (ṡ − Σ p ṡ), ṡ = (q̇·k + q·k̇) · scale. q̇, k̇ or v̇ may be nullptr.
ggml_tensor * attention_tangent(const AttentionPlan & plan, Graph & graph, ggml_tensor * weights,
                                ggml_tensor * q, ggml_tensor * k, ggml_tensor * v,
                                ggml_tensor * q_dot, ggml_tensor * k_dot, ggml_tensor * v_dot,
                                int directions);

// Pieces of directions ------------------------------------------------------------------------

// Directions of a pass, of which a node takes `count` from `first`. They are made when the node
// runs, so that only the pieces in use take memory.
struct DirectionRange {
    const std::vector<Direction> * all;
    int first, count;
};

// Ȧ of each direction, its rows padded with zeros: [inputs, rows, directions].
ggml_tensor * a_directions(Graph & graph, const DirectionRange & range, const Adapter & adapter,
                           size_t matrix, int64_t rows);
// [B Ḃ] of each direction, columns side by side and padded with zeros:
// [columns, outputs, directions]. `b` is [padded rank, outputs].
ggml_tensor * b_and_directions(Graph & graph, const DirectionRange & range, const Adapter & adapter,
                               size_t matrix, ggml_tensor * b, int64_t columns);
// What those multiply: scale · (Ȧ·h + A·ḣ) above scale · A·h, [rows, directions · columns].
// `low` is A·h [≥ rank, columns]; a_dot_h [rows of Ȧ · directions, columns]; a_h_dot
// [≥ rank, directions · columns]. Each may be nullptr.
ggml_tensor * low_rank_tangent(Graph & graph, ggml_tensor * low, ggml_tensor * a_dot_h,
                               ggml_tensor * a_h_dot, int64_t rank, float scale, int64_t rows,
                               int directions, int64_t columns);

// L = −log softmax(l)[target]:  L̇ = Σ p l̇ − l̇[target], float64 [directions · columns].
ggml_tensor * loss_tangent(Graph & graph, ggml_tensor * probabilities, ggml_tensor * targets,
                           ggml_tensor * logits_dot);

}  // namespace fwdllm
