#include "tangent_pass.h"

#include "failure.h"
#include "head.h"
#include "layer_ops.h"
#include "rounding.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace fwdllm {

// Columns that go through a layer together: enough to multiply weights at full speed, few enough
// for the activations of a feed-forward layer to stay small.
static const int64_t k_columns = 256;

static int at_once(int64_t columns, int directions) {
    return int(std::clamp<int64_t>(k_columns / columns, 1, directions));
}

static int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

struct TangentPass::Builder {
    // Tangents of `count` directions from `first`; x_dot is nullptr as long as they are zero.
    struct Chunk {
        int first, count;
        ggml_tensor * x_dot;
    };
    // A linear layer's input and A times it, for the product rule.
    struct Linear {
        ggml_tensor * x = nullptr;
        ggml_tensor * low = nullptr;  // [≥ rank, columns]; nullptr: no LoRA
    };

    const Model & model;
    const Adapter & adapter;
    const LoraSlots & lora;
    const Batch & batch;
    const Support & moves;
    const int directions;
    const bool refine;
    TangentPass & pass;
    Graph & graph;
    const LayerOps ops;
    ggml_context * ctx;
    TangentRules & rules;

    std::vector<Chunk> chunks = {};
    std::pair<ggml_tensor *, ggml_tensor *> last_refined = {};  // an input and its rest

    // Linear layers --------------------------------------------------------------------------

    // Index of a matrix in the adapter, which has it.
    size_t matrix(int64_t layer, Module module, bool is_b) const {
        size_t i = 0;
        for (const LoraMatrix & m : adapter.matrices()) {
            if (m.layer == layer && m.module == module && m.is_b == is_b) break;
            i++;
        }
        return i;
    }

    // The rows of A without the zeros that make B's products fast.
    ggml_tensor * narrow_a(int64_t layer, Module module) const {
        ggml_tensor * a = lora.pair(layer, module).a;
        return ggml_view_2d(ctx, a, a->ne[0], round_up(adapter.rank(), 8), a->nb[1], 0);
    }

    // What the product of a linear layer loses of its input, made once for each input.
    ggml_tensor * rest_of(int64_t layer, Module module, ggml_tensor * x) {
        if (last_refined.first != x) {
            const ggml_tensor * weight = model.layers()[size_t(layer)].linear[module].weight;
            last_refined = { x, rounding_rest(ctx, weight, x) };
        }
        return last_refined.second;
    }

    // W·x + (alpha / rank) · B·(A·x) + bias, at θ.
    ggml_tensor * primal(int64_t layer, Module module, ggml_tensor * x, Linear & linear) {
        linear.x = x;
        ggml_tensor * y = ops.product(layer, module, x);
        if (ggml_tensor * rest = refine ? rest_of(layer, module, x) : nullptr) {
            y = ggml_add(ctx, y, ops.product(layer, module, rest));
        }
        const LoraSlots::Pair & pair = lora.pair(layer, module);
        if (pair.a != nullptr) {
            linear.low = ggml_mul_mat(ctx, pair.a, x);
            ggml_tensor * scaled = ggml_scale(ctx, linear.low, lora.scale());
            y = ggml_add(ctx, y, ggml_mul_mat(ctx, pair.b, scaled));
        }
        return ops.add_bias(layer, module, y);
    }

    // W·ẋ + (alpha / rank) · (B·(Ȧ·x + A·ẋ) + Ḃ·(A·x)).
    ggml_tensor * tangent(int64_t layer, Module module, const Linear & linear, const Chunk & chunk,
                          ggml_tensor * x_dot) const {
        ggml_tensor * y = x_dot == nullptr ? nullptr : ops.product(layer, module, x_dot);
        if (linear.low == nullptr) return y;
        const DirectionRange range{ &pass.directions_, chunk.first, chunk.count };
        const bool a_moves = moves.contains(layer, false), b_moves = moves.contains(layer, true);
        const int64_t rank = adapter.rank(), columns = linear.x->ne[1];
        ggml_tensor * a_dot_x = nullptr, * a_x_dot = nullptr;
        if (a_moves) {
            ggml_tensor * a_dot = a_directions(graph, range, adapter, matrix(layer, module, false),
                                               round_up(rank, 8));
            a_dot = ggml_reshape_2d(ctx, a_dot, a_dot->ne[0], a_dot->ne[1] * a_dot->ne[2]);
            a_dot_x = ggml_mul_mat(ctx, a_dot, linear.x);
        }
        if (x_dot != nullptr) a_x_dot = ggml_mul_mat(ctx, narrow_a(layer, module), x_dot);
        if (!b_moves && a_dot_x == nullptr && a_x_dot == nullptr) return y;

        ggml_tensor * b = lora.pair(layer, module).b;
        const int64_t rows = b_moves ? round_up(2 * rank, 16) : b->ne[0];
        ggml_tensor * low = low_rank_tangent(graph, b_moves ? linear.low : nullptr, a_dot_x,
                                             a_x_dot, rank, lora.scale(), rows, chunk.count,
                                             columns);
        ggml_tensor * change;
        if (b_moves) {
            b = b_and_directions(graph, range, adapter, matrix(layer, module, true), b, rows);
            low = ggml_reshape_3d(ctx, low, rows, columns, chunk.count);
            change = ggml_mul_mat(ctx, b, low);
            change = ggml_reshape_2d(ctx, change, change->ne[0], columns * chunk.count);
        } else {
            change = ggml_mul_mat(ctx, b, low);
        }
        return add_tangents(ctx, y, change);
    }

    // Blocks ---------------------------------------------------------------------------------

    // [head_size, key_value_heads, columns]
    ggml_tensor * by_head(ggml_tensor * v) const {
        if (v == nullptr) return nullptr;
        const Shapes & shapes = model.shapes();
        return ggml_reshape_3d(ctx, v, shapes.head_size, shapes.key_value_heads, v->ne[1]);
    }

    ggml_tensor * rotated(ggml_tensor * x, int64_t heads, int copies) const {
        return x == nullptr ? nullptr : ops.rotate(x, heads, copies);
    }

    // Above the last attention no column depends on others.
    bool only_loss_columns_after_attention(int64_t i) const {
        return i + 1 == model.shapes().layers && pass.inputs_.loss_rows < pass.inputs_.tokens;
    }

    // Returns the layer's primal output and moves the chunks to their tangents there.
    ggml_tensor * block(int64_t i, ggml_tensor * x) {
        std::array<Linear, k_modules> linear;
        ggml_tensor * attended = attention(i, x, linear);
        if (only_loss_columns_after_attention(i)) {
            attended = ops.loss_columns(attended, 1);
            x = ops.loss_columns(x, 1);
            merge_chunks(pass.inputs_.loss_rows);
        }
        return feed_forward(i, x, attended, linear);
    }

    // Tangents of the attention's output are left in `attention_dot`.
    ggml_tensor * attention(int64_t i, ggml_tensor * x, std::array<Linear, k_modules> & linear) {
        const Shapes & shapes = model.shapes();
        const Layer & layer = model.layers()[size_t(i)];
        ggml_tensor * h = ops.norm(x, layer.attention_norm);
        ggml_tensor * q = ops.rotate(primal(i, k_q, h, linear[k_q]), shapes.heads, 1);
        ggml_tensor * k = ops.rotate(primal(i, k_k, h, linear[k_k]), shapes.key_value_heads, 1);
        ggml_tensor * v = by_head(primal(i, k_v, h, linear[k_v]));
        const Attended attended = rules.attend(q, k, v);
        graph.expand(attended.output);

        attention_dot.clear();
        for (Chunk & chunk : chunks) {
            ggml_tensor * h_dot = rules.norm(x, layer.attention_norm, chunk.x_dot);
            ggml_tensor * q_dot = tangent(i, k_q, linear[k_q], chunk, h_dot);
            ggml_tensor * k_dot = tangent(i, k_k, linear[k_k], chunk, h_dot);
            ggml_tensor * v_dot = by_head(tangent(i, k_v, linear[k_v], chunk, h_dot));
            q_dot = rotated(q_dot, shapes.heads, chunk.count);
            k_dot = rotated(k_dot, shapes.key_value_heads, chunk.count);
            ggml_tensor * dot = rules.attention(attended, q_dot, k_dot, v_dot, chunk.count);
            if (only_loss_columns_after_attention(i)) {
                if (dot != nullptr) dot = ops.loss_columns(dot, chunk.count);
                if (chunk.x_dot != nullptr) {
                    chunk.x_dot = ops.loss_columns(chunk.x_dot, chunk.count);
                    graph.expand(chunk.x_dot);
                }
            }
            if (dot != nullptr) graph.expand(dot);
            attention_dot.push_back(dot);
        }
        return attended.output;
    }

    // Few columns are left of each direction: neighbouring chunks go on together.
    void merge_chunks(int64_t columns) {
        const int most = at_once(columns, directions);
        std::vector<Chunk> merged;
        std::vector<ggml_tensor *> merged_dot;
        for (size_t i = 0; i < chunks.size(); i++) {
            if (!merged.empty() && merged.back().count + chunks[i].count <= most) {
                merged.back().count += chunks[i].count;
                merged.back().x_dot = beside(merged.back().x_dot, chunks[i].x_dot);
                merged_dot.back() = beside(merged_dot.back(), attention_dot[i]);
            } else {
                merged.push_back(chunks[i]);
                merged_dot.push_back(attention_dot[i]);
            }
        }
        chunks = merged;
        attention_dot = merged_dot;
    }

    // Chunks of one layer are zero together.
    ggml_tensor * beside(ggml_tensor * a, ggml_tensor * b) const {
        return a == nullptr ? nullptr : ggml_concat(ctx, a, b, /*dim=*/1);
    }

    ggml_tensor * feed_forward(int64_t i, ggml_tensor * x, ggml_tensor * attended,
                               std::array<Linear, k_modules> & linear) {
        const Layer & layer = model.layers()[size_t(i)];
        x = ggml_add(ctx, x, primal(i, k_o, attended, linear[k_o]));
        ggml_tensor * h = ops.norm(x, layer.feed_forward_norm);
        ggml_tensor * gate = primal(i, k_gate, h, linear[k_gate]);
        ggml_tensor * up = primal(i, k_up, h, linear[k_up]);
        ggml_tensor * of_up = ggml_silu(ctx, gate);
        ggml_tensor * of_gate = ggml_silu_back(ctx, up, gate);  // up ∘ silu′(gate)
        ggml_tensor * f = ggml_mul(ctx, of_up, up);
        ggml_tensor * out = ggml_add(ctx, x, primal(i, k_down, f, linear[k_down]));
        graph.expand(of_gate);
        graph.expand(out);

        for (size_t c = 0; c < chunks.size(); c++) {
            Chunk & chunk = chunks[c];
            ggml_tensor * x_dot =
                add_tangents(ctx, chunk.x_dot,
                             tangent(i, k_o, linear[k_o], chunk, attention_dot[c]));
            ggml_tensor * h_dot = rules.norm(x, layer.feed_forward_norm, x_dot);
            ggml_tensor * gate_dot = tangent(i, k_gate, linear[k_gate], chunk, h_dot);
            ggml_tensor * up_dot = tangent(i, k_up, linear[k_up], chunk, h_dot);
            ggml_tensor * f_dot = rules.gate(of_gate, of_up, gate_dot, up_dot);
            chunk.x_dot =
                add_tangents(ctx, x_dot, tangent(i, k_down, linear[k_down], chunk, f_dot));
            if (chunk.x_dot != nullptr) graph.expand(chunk.x_dot);
        }
        return out;
    }

    std::vector<ggml_tensor *> attention_dot = {};  // by chunk

    // Loss -----------------------------------------------------------------------------------

    void head(ggml_tensor * x) {
        const int64_t loss_rows = pass.inputs_.loss_rows;
        ggml_tensor * y = ops.norm(x, model.output_norm());
        for (Chunk & chunk : chunks) {
            chunk.x_dot = rules.norm(x, model.output_norm(), chunk.x_dot);
            if (chunk.x_dot != nullptr) graph.expand(chunk.x_dot);
        }
        for (int64_t first = 0; first < loss_rows; first += k_head_columns) {
            const int64_t columns = std::min(k_head_columns, loss_rows - first);
            ggml_tensor * logits = add_shifts(ops, head_logits(ops, y, first, columns));
            ggml_tensor * targets = head_targets(ops, first, columns);
            ggml_tensor * losses = column_losses(ops, logits, targets);
            output(losses);
            pass.losses_.push_back(losses);
            ggml_tensor * probabilities = ggml_soft_max(ctx, logits);
            graph.expand(probabilities);
            for (const Chunk & chunk : chunks) {
                if (chunk.x_dot != nullptr) {
                    differentiate_loss(chunk, probabilities, targets, first, columns);
                }
            }
        }
    }

    // Loss rows `first` to `first + columns` of the chunk's directions.
    void differentiate_loss(const Chunk & chunk, ggml_tensor * probabilities,
                            ggml_tensor * targets, int64_t first, int64_t columns) {
        const int64_t loss_rows = pass.inputs_.loss_rows;
        // Directions are neighbours in memory only where all their rows are taken.
        const int together = columns == loss_rows ? int(k_head_columns / columns) : 1;
        for (int d = 0; d < chunk.count; d += together) {
            const int count = std::min(together, chunk.count - d);
            ggml_tensor * logits_dot =
                head_logits(ops, chunk.x_dot, d * loss_rows + first, count * columns);
            ggml_tensor * values = loss_tangents(ops, probabilities, targets, logits_dot);
            output(values);
            pass.loss_tangents_.push_back({ chunk.first + d, count, values });
        }
    }

    void output(ggml_tensor * result) {
        ggml_set_output(result);
        graph.expand(result);
    }
};

// An upper bound.
static size_t nodes(const Device & device, const Model & model, const Batch & batch,
                    const Start & start, int directions) {
    const int64_t tokens = int64_t(batch.tokens.size());
    const size_t layers = size_t(model.shapes().layers - start.layer);
    const size_t chunks = size_t(directions / at_once(tokens, directions) + 1);
    const size_t rules = device.is_cpu() ? 0 : size_t(directions + 1) * ggml_rule_nodes(batch);
    const int64_t heads = int64_t(batch.targets.size()) / k_head_columns + 1;
    return layers * (90 + chunks * 100 + rules) + size_t(heads) * (16 + 4 * size_t(directions)) +
           64;
}

TangentPass::TangentPass(const Device & device, const Model & model, const Adapter & adapter,
                         const LoraSlots & lora, const Batch & batch, const Labels & labels,
                         const Start & start, const Support & moves, int directions,
                         bool refine)
    : positions_(batch.targets.size()), directions_in_pass_(directions),
      at_once_(at_once(int64_t(batch.tokens.size()), directions)),
      inputs_(model, batch, labels, start, at_once_),
      graph_(device, nodes(device, model, batch, start, directions)) {
    ggml_context * ctx = graph_.context();
    const LayerOps ops{ ctx, model, inputs_ };
    const auto rules =
        device.is_cpu() ? cpu_rules(graph_, ops, batch) : ggml_rules(ops, batch);
    Builder builder{ model, adapter, lora,   batch, moves, directions,
                     refine, *this,  graph_, ops,   ctx,   *rules };
    for (int first = 0; first < directions; first += at_once_) {
        builder.chunks.push_back({ first, std::min(at_once_, directions - first), nullptr });
    }
    ggml_tensor * x = inputs_.states;
    for (int64_t i = start.layer; i < model.shapes().layers; i++) x = builder.block(i, x);
    builder.head(x);
}

void TangentPass::run(std::vector<Direction> directions) {
    directions_ = std::move(directions);
    graph_.run();
}

double TangentPass::mean_loss() const {
    double sum = 0;
    for (const ggml_tensor * losses : losses_) {
        for (int64_t column = 0; column < losses->ne[1]; column++) {
            sum += column_loss(losses, column).nats;
        }
    }
    if (!std::isfinite(sum)) throw Failure("the loss is not finite");
    return sum / double(positions_);
}

std::vector<double> TangentPass::slopes() const {
    std::vector<double> slopes(directions_.size());
    for (const LossTangents & part : loss_tangents_) {
        const double * values = static_cast<const double *>(part.values->data);
        const int64_t columns = part.values->ne[0] / part.directions;
        for (int64_t i = 0; i < part.values->ne[0]; i++) {
            slopes[size_t(part.first + i / columns)] += values[i] / double(positions_);
        }
    }
    for (double slope : slopes) {
        if (!std::isfinite(slope)) throw Failure("a slope is not finite");
    }
    return slopes;
}

}  // namespace fwdllm
