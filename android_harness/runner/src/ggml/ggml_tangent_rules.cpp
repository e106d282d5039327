#include "tangent_rules.h"

#include <cmath>

namespace fwdllm {

namespace {

class GgmlRules : public TangentRules {
  public:
    GgmlRules(const LayerOps & ops, const Batch & batch)
        : ops_(ops), ctx_(ops.ctx), batch_(batch),
          scale_(1.0f / std::sqrt(float(ops.shapes().head_size))) {}

    // Not by ggml_rms_norm_back, which computes the same, the Jacobian being symmetric: the shader
    // of ggml 0.25.3 for it writes behind its result when that has more than 512 columns.
    ggml_tensor * norm(ggml_tensor * x, ggml_tensor * weight, ggml_tensor * x_dot) override {
        if (x_dot == nullptr) return nullptr;
        ggml_tensor * mean_square = ggml_mean(ctx_, ggml_sqr(ctx_, x));
        ggml_tensor * r = ggml_sqrt(
            ctx_, ggml_scale_bias(ctx_, mean_square, 1.0f, ops_.shapes().norm_epsilon));
        ggml_tensor * scaled = ggml_div(ctx_, x, r);
        ggml_tensor * along = ggml_mean(ctx_, ggml_mul(ctx_, x_dot, scaled));
        const int64_t width = x->ne[0], columns = x->ne[1], directions = x_dot->ne[1] / columns;
        // Both factors of this product are repeated: one over the width, one over the directions.
        along = ggml_repeat_4d(ctx_, along, width, columns * directions, 1, 1);
        ggml_tensor * out = ggml_sub(ctx_, x_dot, ggml_mul(ctx_, along, scaled));
        if (directions > 1) r = ggml_repeat_4d(ctx_, r, 1, columns * directions, 1, 1);
        return ggml_mul(ctx_, ggml_div(ctx_, out, r), weight);
    }

    ggml_tensor * gate(ggml_tensor * of_gate, ggml_tensor * of_up, ggml_tensor * gate_dot,
                       ggml_tensor * up_dot) override {
        ggml_tensor * a = gate_dot == nullptr ? nullptr : ggml_mul(ctx_, gate_dot, of_gate);
        ggml_tensor * b = up_dot == nullptr ? nullptr : ggml_mul(ctx_, up_dot, of_up);
        return add_tangents(ctx_, a, b);
    }

    Attended attend(ggml_tensor * q, ggml_tensor * k, ggml_tensor * v) override {
        Attended attended{ q, k, v, {}, nullptr };
        for (const Batch::Group & g : batch_.groups) {
            ggml_tensor * scores = ggml_mul_mat(ctx_, keys(k, g, 0), queries(q, g, 0));
            ggml_tensor * p = ggml_soft_max_ext(ctx_, scores, ops_.inputs.masks.at(g.length),
                                                scale_, /*max_bias=*/0.0f);
            attended.weights.push_back(p);
            ggml_tensor * out = ggml_mul_mat(ctx_, transposed_values(v, g, 0), p);
            attended.output = beside(attended.output, columns(out));
        }
        return attended;
    }

    ggml_tensor * attention(const Attended & at, ggml_tensor * q_dot, ggml_tensor * k_dot,
                            ggml_tensor * v_dot, int directions) override {
        if (q_dot == nullptr && k_dot == nullptr && v_dot == nullptr) return nullptr;
        ggml_tensor * all = nullptr;
        for (int direction = 0; direction < directions; direction++) {
            for (size_t i = 0; i < batch_.groups.size(); i++) {
                all = beside(all, columns(tangent(at, i, q_dot, k_dot, v_dot, direction)));
            }
        }
        return all;
    }

  private:
    // Of the group of index `i`: [head_size, length, heads, count].
    ggml_tensor * tangent(const Attended & at, size_t i, ggml_tensor * q_dot, ggml_tensor * k_dot,
                          ggml_tensor * v_dot, int direction) const {
        const Batch::Group & g = batch_.groups[i];
        ggml_tensor * p = at.weights[i];
        ggml_tensor * a = nullptr, * b = nullptr;
        if (q_dot != nullptr) {
            a = ggml_mul_mat(ctx_, keys(at.k, g, 0), queries(q_dot, g, direction));
        }
        if (k_dot != nullptr) {
            b = ggml_mul_mat(ctx_, keys(k_dot, g, direction), queries(at.q, g, 0));
        }
        ggml_tensor * out = nullptr;
        if (ggml_tensor * scores = add_tangents(ctx_, a, b)) {
            // Symmetric too. Masked weights are zero, so their scores do not matter.
            ggml_tensor * p_dot = ggml_soft_max_ext_back(ctx_, scores, p, scale_, 0.0f);
            out = ggml_mul_mat(ctx_, transposed_values(at.v, g, 0), p_dot);
        }
        if (v_dot == nullptr) return out;
        return add_tangents(ctx_, out,
                            ggml_mul_mat(ctx_, transposed_values(v_dot, g, direction), p));
    }

    // The columns of a group in those of a direction; x is [head_size, heads, columns], and the
    // result [head_size, heads, length, count].
    ggml_tensor * of_group(ggml_tensor * x, const Batch::Group & g, int direction) const {
        const size_t stride = x->nb[2];
        return ggml_view_4d(ctx_, x, x->ne[0], x->ne[1], g.length, g.count,
                            x->nb[1], stride, size_t(g.length) * stride,
                            size_t(direction * ops_.inputs.tokens + g.first) * stride);
    }

    ggml_tensor * queries(ggml_tensor * q, const Batch::Group & g, int direction) const {
        return ggml_cont(ctx_, ggml_permute(ctx_, of_group(q, g, direction), 0, 2, 1, 3));
    }
    ggml_tensor * keys(ggml_tensor * k, const Batch::Group & g, int direction) const {
        return ggml_permute(ctx_, of_group(k, g, direction), 0, 2, 1, 3);
    }
    // [length, head_size, key_value_heads, count]
    ggml_tensor * transposed_values(ggml_tensor * v, const Batch::Group & g, int direction) const {
        return ggml_cont(ctx_, ggml_permute(ctx_, of_group(v, g, direction), 1, 2, 0, 3));
    }
    // [head_size, length, heads, count] as [heads · head_size, columns].
    ggml_tensor * columns(ggml_tensor * x) const {
        ggml_tensor * by_column = ggml_cont(ctx_, ggml_permute(ctx_, x, 0, 2, 1, 3));
        return ggml_reshape_2d(ctx_, by_column, x->ne[0] * x->ne[2], x->ne[1] * x->ne[3]);
    }

    ggml_tensor * beside(ggml_tensor * a, ggml_tensor * b) const {
        return a == nullptr ? b : ggml_concat(ctx_, a, b, /*dim=*/1);
    }

    const LayerOps & ops_;
    ggml_context * ctx_;
    const Batch & batch_;
    const float scale_;
};

}  // namespace

std::unique_ptr<TangentRules> ggml_rules(const LayerOps & ops, const Batch & batch) {
    return std::make_unique<GgmlRules>(ops, batch);
}

size_t ggml_rule_nodes(const Batch & batch) { return 40 + 28 * batch.groups.size(); }

}  // namespace fwdllm
