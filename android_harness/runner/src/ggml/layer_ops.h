// The parts of a LLaMA block that forward and tangent passes share, as nodes of a graph.
#pragma once

#include "batch_inputs.h"
#include "model.h"

namespace fwdllm {

struct LayerOps {
    ggml_context * ctx;
    const Model & model;
    const BatchInputs & inputs;

    const Shapes & shapes() const { return model.shapes(); }

    // RMSNorm and its weight.
    ggml_tensor * norm(ggml_tensor * x, ggml_tensor * weight) const;
    // W·x for all columns, without the bias.
    ggml_tensor * product(int64_t layer, Module module, ggml_tensor * x) const;
    ggml_tensor * add_bias(int64_t layer, Module module, ggml_tensor * y) const;
    // [head_size, heads, columns] with rotary position embeddings, for the columns of `copies`.
    ggml_tensor * rotate(ggml_tensor * x, int64_t heads, int64_t copies) const;
    // The columns of `copies` that have a target.
    ggml_tensor * loss_columns(ggml_tensor * x, int64_t copies) const;
};

// Causal attention over every sequence of `copies`, by ggml's fused operation; q, k and v are
// [head_size, heads, columns]. The result is [heads · head_size, columns].
ggml_tensor * attend(const LayerOps & ops, const Batch & batch, ggml_tensor * q, ggml_tensor * k,
                     ggml_tensor * v, int64_t copies);
// An upper bound of the nodes that it makes.
size_t attention_nodes(const Batch & batch, int64_t copies);

}  // namespace fwdllm
