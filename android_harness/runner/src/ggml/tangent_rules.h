// Derivatives of a block's operations along directions, as nodes of a graph.
//
// A tangent has the columns of its primal, once for each direction: column = direction · columns +
// column of the primal. nullptr stands for a tangent that is zero.
#pragma once

#include "graph.h"
#include "layer_ops.h"

#include <memory>
#include <vector>

namespace fwdllm {

// Either may be zero.
inline ggml_tensor * add_tangents(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b) {
    if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
    return ggml_add(ctx, a, b);
}

// The attention of one layer at θ, with what its tangents need.
struct Attended {
    ggml_tensor * q;  // [head_size, heads, columns]
    ggml_tensor * k;  // [head_size, key_value_heads, columns]
    ggml_tensor * v;  // as k
    std::vector<ggml_tensor *> weights;  // p, in the rules' own order
    ggml_tensor * output;                // [heads · head_size, columns]
};

class TangentRules {
  public:
    virtual ~TangentRules() = default;

    // y = w ∘ x / r with r = √(mean x² + ε):  ẏ = w ∘ (ẋ − x · mean(x ∘ ẋ) / r²) / r.
    virtual ggml_tensor * norm(ggml_tensor * x, ggml_tensor * weight, ggml_tensor * x_dot) = 0;
    // f = silu(g) ∘ u:  ḟ = (u ∘ silu′(g)) ∘ ġ + silu(g) ∘ u̇, the factors given. ġ and u̇ may be
    // overwritten.
    virtual ggml_tensor * gate(ggml_tensor * of_gate, ggml_tensor * of_up, ggml_tensor * gate_dot,
                               ggml_tensor * up_dot) = 0;
    // Causal softmax attention of every sequence: o = Σ p v with p = softmax(q·k / √head_size).
    virtual Attended attend(ggml_tensor * q, ggml_tensor * k, ggml_tensor * v) = 0;
    // ȯ = Σ ṗ v + p v̇ with ṗ = p (ṡ − Σ p ṡ), ṡ = (q̇·k + q·k̇) / √head_size.
    virtual ggml_tensor * attention(const Attended & attended, ggml_tensor * q_dot,
                                    ggml_tensor * k_dot, ggml_tensor * v_dot, int directions) = 0;
};

// Fused, by the CPU's vector instructions. Every element is computed by one thread, in an order
// that the number of threads does not change.
std::unique_ptr<TangentRules> cpu_rules(Graph & graph, const LayerOps & ops, const Batch & batch);
// By ggml's own operations, which other devices have too.
std::unique_ptr<TangentRules> ggml_rules(const LayerOps & ops, const Batch & batch);

// An upper bound of the nodes that ggml's rules make in a layer for each direction, θ counting as
// one more. Those of the CPU make a few for each group of directions that it is given.
size_t ggml_rule_nodes(const Batch & batch);

}  // namespace fwdllm
