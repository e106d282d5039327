#include "layer_ops.h"

#include <cmath>
#include <vector>

namespace fwdllm {

ggml_tensor * LayerOps::norm(ggml_tensor * x, ggml_tensor * weight) const {
    return ggml_mul(ctx, ggml_rms_norm(ctx, x, shapes().norm_epsilon), weight);
}

ggml_tensor * LayerOps::product(int64_t layer, Module module, ggml_tensor * x) const {
    return ggml_mul_mat(ctx, model.layers()[size_t(layer)].linear[module].weight, x);
}

ggml_tensor * LayerOps::add_bias(int64_t layer, Module module, ggml_tensor * y) const {
    ggml_tensor * bias = model.layers()[size_t(layer)].linear[module].bias;
    return bias == nullptr ? y : ggml_add(ctx, y, bias);
}

ggml_tensor * LayerOps::rotate(ggml_tensor * x, int64_t heads, int64_t copies) const {
    ggml_tensor * by_head = ggml_reshape_3d(ctx, x, shapes().head_size, heads, x->ne[1]);
    ggml_tensor * p = ggml_view_1d(ctx, inputs.positions, copies * inputs.tokens, 0);
    return ggml_rope_ext(ctx, by_head, p, model.rope_factors(), int(shapes().head_size),
                         shapes().rope_mode, int(shapes().context), shapes().rope_base,
                         shapes().rope_scale, /*ext_factor=*/0.0f, /*attn_factor=*/1.0f,
                         /*beta_fast=*/32.0f, /*beta_slow=*/1.0f);
}

ggml_tensor * LayerOps::loss_columns(ggml_tensor * x, int64_t copies) const {
    return ggml_get_rows(ctx, x, ggml_view_1d(ctx, inputs.rows, copies * inputs.loss_rows, 0));
}

// Sequences that one attention operation can take together: `count` runs of `length` columns,
// each starting `stride` columns after the one before.
struct AttentionBlock {
    int64_t first, length, count, stride;
};

static std::vector<AttentionBlock> attention_blocks(const Batch & batch, int64_t copies) {
    const int64_t tokens = int64_t(batch.tokens.size());
    std::vector<AttentionBlock> blocks;
    for (const Batch::Group & g : batch.groups) {
        if (batch.groups.size() == 1) {
            blocks.push_back({ 0, g.length, copies * g.count, g.length });
        } else if (g.count >= copies) {  // the group's examples together, copy by copy
            for (int64_t copy = 0; copy < copies; copy++) {
                blocks.push_back({ copy * tokens + g.first, g.length, g.count, g.length });
            }
        } else {  // the copies together, example by example
            for (int64_t i = 0; i < g.count; i++) {
                blocks.push_back({ g.first + i * g.length, g.length, copies, tokens });
            }
        }
    }
    return blocks;
}

ggml_tensor * attend(const LayerOps & ops, const Batch & batch, ggml_tensor * q, ggml_tensor * k,
                     ggml_tensor * v, int64_t copies) {
    ggml_context * ctx = ops.ctx;
    const auto sequences = [&](ggml_tensor * x, const AttentionBlock & block) {
        ggml_tensor * part = ggml_view_4d(ctx, x, x->ne[0], x->ne[1], block.length, block.count,
                                          x->nb[1], x->nb[2], size_t(block.stride) * x->nb[2],
                                          size_t(block.first) * x->nb[2]);
        return ggml_permute(ctx, part, 0, 2, 1, 3);  // [head_size, length, heads, count]
    };
    const float scale = 1.0f / std::sqrt(float(q->ne[0]));
    const auto blocks = attention_blocks(batch, copies);
    ggml_tensor * out = q;
    for (const AttentionBlock & block : blocks) {
        ggml_tensor * attended = ggml_flash_attn_ext(
            ctx, sequences(q, block), sequences(k, block), sequences(v, block),
            ops.inputs.masks.at(block.length), scale, /*max_bias=*/0.0f, /*logit_softcap=*/0.0f);
        if (blocks.size() == 1) {
            out = attended;
        } else {
            // No other block reads this block's queries: its result takes their place.
            out = ggml_set_inplace(ctx, out, attended, q->nb[1], q->nb[2],
                                   size_t(block.stride) * q->nb[2],
                                   size_t(block.first) * q->nb[2]);
        }
    }
    return ggml_reshape_2d(ctx, out, q->ne[0] * q->ne[1], q->ne[2]);
}

size_t attention_nodes(const Batch & batch, int64_t copies) {
    return 8 * attention_blocks(batch, copies).size() + 1;
}

}  // namespace fwdllm
