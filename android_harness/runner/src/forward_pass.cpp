#include "forward_pass.h"

#include "failure.h"
#include "loss.h"

#include <cmath>
#include <cstring>
#include <map>

namespace fwdllm {

// Logits are made and consumed this many columns at a time: a vocabulary is large, and the loss
// of all positions at once would need more memory than the rest of the pass.
static const int64_t k_head_columns = 64;

// Sequences that one attention operation can take together: `count` runs of `length` columns,
// each starting `stride` columns after the one before.
struct AttentionBlock {
    int64_t first, length, count, stride;
};

static std::vector<AttentionBlock> attention_blocks(const Batch & batch, int64_t slots) {
    const int64_t tokens = int64_t(batch.tokens.size());
    std::vector<AttentionBlock> blocks;
    for (const Batch::Group & g : batch.groups) {
        if (batch.groups.size() == 1) {
            blocks.push_back({ 0, g.length, slots * g.count, g.length });
        } else if (g.count >= slots) {  // the group's examples together, slot by slot
            for (int64_t slot = 0; slot < slots; slot++) {
                blocks.push_back({ slot * tokens + g.first, g.length, g.count, g.length });
            }
        } else {  // the slots together, example by example
            for (int64_t i = 0; i < g.count; i++) {
                blocks.push_back({ g.first + i * g.length, g.length, slots, tokens });
            }
        }
    }
    return blocks;
}

// The loss of each column of a chunk of logits, all threads taking turns.
static void column_losses(ggml_tensor * result, int thread, int threads, void * user_data) {
    const auto & labels = *static_cast<const Labels *>(user_data);
    const ggml_tensor * logits = result->src[0];
    const int32_t * targets = static_cast<const int32_t *>(result->src[1]->data);
    double * out = static_cast<double *>(result->data);
    for (int64_t column = thread; column < logits->ne[1]; column += threads) {
        const float * values = reinterpret_cast<const float *>(
            static_cast<const char *>(logits->data) + size_t(column) * logits->nb[1]);
        const PositionLoss loss =
            labels.tokens.empty() ? vocabulary_loss(values, logits->ne[0], targets[column])
                                  : verbalizer_loss(values, labels, targets[column]);
        out[2 * column] = loss.nats;
        out[2 * column + 1] = double(loss.predicted);
    }
}

struct ForwardPass::Builder {
    const Model & model;
    const Shapes & shapes;
    const LoraSlots & lora;
    ForwardPass & pass;

    int64_t tokens;     // of one slot
    int64_t loss_rows;  // of one slot

    // Inputs; positions and rows cover all slots.
    ggml_tensor * embeddings = nullptr;           // float32 [width, tokens]
    ggml_tensor * positions = nullptr;            // int32 [slots · tokens]
    ggml_tensor * rows = nullptr;                 // int32 [slots · loss_rows]
    ggml_tensor * targets = nullptr;              // int32 [slots · loss_rows]
    std::map<int64_t, ggml_tensor *> masks = {};  // by length: float16 [length, length]

    ggml_context * ctx = nullptr;

    void make_inputs() {
        const Batch & batch = pass.batch_;
        pass.inputs_ = new_context(4 + batch.groups.size());
        ggml_context * inputs = pass.inputs_.get();
        embeddings = ggml_new_tensor_2d(inputs, GGML_TYPE_F32, shapes.width, tokens);
        positions = ggml_new_tensor_1d(inputs, GGML_TYPE_I32, pass.slots_ * tokens);
        rows = ggml_new_tensor_1d(inputs, GGML_TYPE_I32, pass.slots_ * loss_rows);
        targets = ggml_new_tensor_1d(inputs, GGML_TYPE_I32, pass.slots_ * loss_rows);
        for (const Batch::Group & g : batch.groups) {
            masks[g.length] = ggml_new_tensor_2d(inputs, GGML_TYPE_F16, g.length, g.length);
        }
        pass.input_buffer_ = allocate(inputs, ggml_backend_cpu_buffer_type());

        model.embed(batch.tokens, static_cast<float *>(embeddings->data));
        int32_t * position = static_cast<int32_t *>(positions->data);
        int32_t * row = static_cast<int32_t *>(rows->data);
        int32_t * target = static_cast<int32_t *>(targets->data);
        for (int64_t slot = 0; slot < pass.slots_; slot++) {
            for (int32_t p : batch.positions) *position++ = p;
            for (int32_t r : batch.loss_rows) *row++ = int32_t(slot * tokens) + r;
            for (int32_t t : batch.targets) *target++ = t;
        }
        const ggml_fp16_t open = ggml_fp32_to_fp16(0.0f), closed = ggml_fp32_to_fp16(-INFINITY);
        for (auto & [length, mask] : masks) {
            ggml_fp16_t * values = static_cast<ggml_fp16_t *>(mask->data);
            for (int64_t query = 0; query < length; query++) {
                for (int64_t key = 0; key < length; key++) {
                    values[query * length + key] = key <= query ? open : closed;
                }
            }
        }
    }

    ggml_tensor * norm(ggml_tensor * x, ggml_tensor * weight) {
        return ggml_mul(ctx, ggml_rms_norm(ctx, x, shapes.norm_epsilon), weight);
    }

    // W·x for all columns, plus (alpha / rank) · B·(A·x) with each slot's own A and B.
    ggml_tensor * linear(int64_t layer, Module module, ggml_tensor * x, int64_t slots) {
        const Linear & base = model.layers()[size_t(layer)].linear[module];
        ggml_tensor * y = ggml_mul_mat(ctx, base.weight, x);

        const LoraSlots::Pair & pair = lora.pair(layer, module);
        if (pair.a != nullptr) {
            ggml_tensor * a = first_slots(pair.a, slots);
            ggml_tensor * b = first_slots(pair.b, slots);
            ggml_tensor * by_slot = ggml_reshape_3d(ctx, x, x->ne[0], x->ne[1] / slots, slots);
            // The factor is applied where the matrix is smallest.
            ggml_tensor * low_rank = ggml_scale(ctx, ggml_mul_mat(ctx, a, by_slot), lora.scale());
            ggml_tensor * change = ggml_mul_mat(ctx, b, low_rank);
            y = ggml_add(ctx, y, ggml_reshape_2d(ctx, change, y->ne[0], y->ne[1]));
        }
        return base.bias == nullptr ? y : ggml_add(ctx, y, base.bias);
    }

    ggml_tensor * first_slots(ggml_tensor * t, int64_t slots) {
        if (slots == t->ne[2]) return t;
        return ggml_view_3d(ctx, t, t->ne[0], t->ne[1], slots, t->nb[1], t->nb[2], 0);
    }

    // [head_size, heads, columns] with rotary position embeddings.
    ggml_tensor * rotate(ggml_tensor * x, int64_t heads, int64_t slots) {
        ggml_tensor * by_head = ggml_reshape_3d(ctx, x, shapes.head_size, heads, x->ne[1]);
        ggml_tensor * p = ggml_view_1d(ctx, positions, slots * tokens, 0);
        return ggml_rope_ext(ctx, by_head, p, model.rope_factors(), int(shapes.head_size),
                             shapes.rope_mode, int(shapes.context), shapes.rope_base,
                             shapes.rope_scale, /*ext_factor=*/0.0f, /*attn_factor=*/1.0f,
                             /*beta_fast=*/32.0f, /*beta_slow=*/1.0f);
    }

    // Causal attention of every sequence over itself; q, k, v are [head_size, heads, columns].
    ggml_tensor * attend(ggml_tensor * q, ggml_tensor * k, ggml_tensor * v, int64_t slots) {
        const auto sequences = [&](ggml_tensor * x, const AttentionBlock & block) {
            ggml_tensor * part = ggml_view_4d(ctx, x, x->ne[0], x->ne[1], block.length, block.count,
                                              x->nb[1], x->nb[2], size_t(block.stride) * x->nb[2],
                                              size_t(block.first) * x->nb[2]);
            return ggml_permute(ctx, part, 0, 2, 1, 3);  // [head_size, length, heads, count]
        };
        const float scale = 1.0f / std::sqrt(float(shapes.head_size));
        const auto blocks = attention_blocks(pass.batch_, slots);
        ggml_tensor * out = q;
        for (const AttentionBlock & block : blocks) {
            ggml_tensor * attended = ggml_flash_attn_ext(
                ctx, sequences(q, block), sequences(k, block), sequences(v, block),
                masks[block.length], scale, /*max_bias=*/0.0f, /*logit_softcap=*/0.0f);
            if (blocks.size() == 1) {
                out = attended;
            } else {
                // No other block reads this block's queries: its result takes their place.
                out = ggml_set_inplace(ctx, out, attended, q->nb[1], q->nb[2],
                                       size_t(block.stride) * q->nb[2],
                                       size_t(block.first) * q->nb[2]);
            }
        }
        return ggml_reshape_2d(ctx, out, shapes.heads * shapes.head_size, slots * tokens);
    }

    ggml_tensor * block(int64_t i, ggml_tensor * x, int64_t slots) {
        const Layer & layer = model.layers()[size_t(i)];

        ggml_tensor * h = norm(x, layer.attention_norm);
        ggml_tensor * q = rotate(linear(i, k_q, h, slots), shapes.heads, slots);
        ggml_tensor * k = rotate(linear(i, k_k, h, slots), shapes.key_value_heads, slots);
        ggml_tensor * v = linear(i, k_v, h, slots);
        v = ggml_reshape_3d(ctx, v, shapes.head_size, shapes.key_value_heads, v->ne[1]);
        h = attend(q, k, v, slots);

        // Above the last attention a column no longer depends on others: from here on only
        // the columns that have a target are needed.
        if (i + 1 == shapes.layers && loss_rows < tokens) {
            h = ggml_get_rows(ctx, h, rows);
            x = ggml_get_rows(ctx, x, rows);
        }
        x = ggml_add(ctx, x, linear(i, k_o, h, slots));

        h = norm(x, layer.feed_forward_norm);
        ggml_tensor * gate = linear(i, k_gate, h, slots);
        ggml_tensor * up = linear(i, k_up, h, slots);
        h = ggml_swiglu_split(ctx, gate, up);  // silu(gate) · up
        return ggml_add(ctx, x, linear(i, k_down, h, slots));
    }

    void build(int64_t first_perturbed) {
        const size_t chunks = size_t((pass.slots_ * loss_rows + k_head_columns - 1) / k_head_columns);
        const size_t attention = attention_blocks(pass.batch_, pass.slots_).size();
        const size_t tensors = size_t(shapes.layers) * (100 + 8 * attention) + 4 * chunks + 64;
        pass.graph_context_ = new_context(tensors, tensors);
        ctx = pass.graph_context_.get();
        pass.graph_ = ggml_new_graph_custom(ctx, tensors, /*grads=*/false);

        ggml_tensor * x = embeddings;
        int64_t slots = 1;
        for (int64_t i = 0; i < shapes.layers; i++) {
            if (i == first_perturbed && pass.slots_ > 1) {
                slots = pass.slots_;
                x = ggml_repeat_4d(ctx, x, shapes.width, tokens, slots, 1);
                x = ggml_reshape_2d(ctx, x, shapes.width, tokens * slots);
            }
            x = block(i, x, slots);
        }
        x = norm(x, model.output_norm());

        for (int64_t first = 0; first < x->ne[1]; first += k_head_columns) {
            const int64_t columns = std::min(k_head_columns, x->ne[1] - first);
            ggml_tensor * part =
                ggml_view_2d(ctx, x, x->ne[0], columns, x->nb[1], size_t(first) * x->nb[1]);
            ggml_tensor * arguments[2] = {
                ggml_mul_mat(ctx, model.output(), part),
                ggml_view_1d(ctx, targets, columns, size_t(first) * sizeof(int32_t)),
            };
            ggml_tensor * result = ggml_custom_4d(
                ctx, GGML_TYPE_F64, 2, columns, 1, 1, arguments, 2, column_losses,
                GGML_N_TASKS_MAX, const_cast<Labels *>(&pass.labels_));
            ggml_set_output(result);
            ggml_build_forward_expand(pass.graph_, result);
            pass.results_.push_back(result);
        }
    }
};

ForwardPass::ForwardPass(const Model & model, const LoraSlots & lora, const Cpu & cpu,
                         const Batch & batch, const Labels & labels, int slots,
                         int64_t first_perturbed)
    : cpu_(cpu), batch_(batch), labels_(labels), slots_(slots),
      activations_(ggml_gallocr_new(ggml_backend_cpu_buffer_type())) {
    Builder builder{ model, model.shapes(), lora, *this, int64_t(batch.tokens.size()),
                     int64_t(batch.targets.size()) };
    builder.make_inputs();
    builder.build(first_perturbed);
    if (!ggml_gallocr_alloc_graph(activations_.get(), graph_)) {
        throw Failure("out of memory for the activations of " + std::to_string(slots) + " × " +
                      std::to_string(batch.tokens.size()) + " tokens");
    }
}

void ForwardPass::run() { cpu_.compute(graph_); }

double ForwardPass::summed_loss(int slot) const {
    const int64_t per_slot = int64_t(batch_.targets.size());
    double sum = 0;
    for (int64_t column = slot * per_slot; column < (slot + 1) * per_slot; column++) {
        const ggml_tensor * chunk = results_[size_t(column / k_head_columns)];
        sum += static_cast<const double *>(chunk->data)[2 * (column % k_head_columns)];
    }
    if (!std::isfinite(sum)) throw Failure("the loss is not finite");
    return sum;
}

std::vector<int32_t> ForwardPass::predictions() const {
    std::vector<int32_t> tokens(batch_.targets.size());
    for (size_t column = 0; column < tokens.size(); column++) {
        const ggml_tensor * chunk = results_[column / size_t(k_head_columns)];
        const size_t within = column % size_t(k_head_columns);
        tokens[batch_.order[column]] = int32_t(static_cast<const double *>(chunk->data)[2 * within + 1]);
    }
    return tokens;
}

}  // namespace fwdllm
