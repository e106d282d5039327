#include "forward_pass.h"

#include "failure.h"
#include "head.h"
#include "layer_ops.h"

#include <cmath>

namespace fwdllm {

namespace {

struct Block {
    const LayerOps ops;
    const LoraSlots & lora;
    const Batch & batch;
    const int64_t slots;

    // W·x for all columns, plus (alpha / rank) · B·(A·x) with each slot's own A and B.
    ggml_tensor * linear(int64_t layer, Module module, ggml_tensor * x) const {
        ggml_context * ctx = ops.ctx;
        ggml_tensor * y = ops.product(layer, module, x);
        const LoraSlots::Pair & pair = lora.pair(layer, module);
        if (pair.a != nullptr) {
            ggml_tensor * by_slot = ggml_reshape_3d(ctx, x, x->ne[0], x->ne[1] / slots, slots);
            // The factor is applied where the matrix is smallest.
            ggml_tensor * low_rank =
                ggml_scale(ctx, ggml_mul_mat(ctx, first_slots(pair.a), by_slot), lora.scale());
            ggml_tensor * change = ggml_mul_mat(ctx, first_slots(pair.b), low_rank);
            y = ggml_add(ctx, y, ggml_reshape_2d(ctx, change, y->ne[0], y->ne[1]));
        }
        return ops.add_bias(layer, module, y);
    }

    ggml_tensor * first_slots(ggml_tensor * t) const {
        if (slots == t->ne[2]) return t;
        return ggml_view_3d(ops.ctx, t, t->ne[0], t->ne[1], slots, t->nb[1], t->nb[2], 0);
    }

    // With `loss_only`, what follows the attention is computed for columns with a target alone:
    // above the last attention no column depends on others.
    ggml_tensor * operator()(int64_t i, ggml_tensor * x, bool loss_only) const {
        ggml_context * ctx = ops.ctx;
        const Shapes & shapes = ops.shapes();
        const Layer & layer = ops.model.layers()[size_t(i)];

        ggml_tensor * h = ops.norm(x, layer.attention_norm);
        ggml_tensor * q = ops.rotate(linear(i, k_q, h), shapes.heads, slots);
        ggml_tensor * k = ops.rotate(linear(i, k_k, h), shapes.key_value_heads, slots);
        ggml_tensor * v = linear(i, k_v, h);
        v = ggml_reshape_3d(ctx, v, shapes.head_size, shapes.key_value_heads, v->ne[1]);
        h = attend(ops, batch, q, k, v, slots);
        if (loss_only) {
            h = ops.loss_columns(h, slots);
            x = ops.loss_columns(x, slots);
        }
        x = ggml_add(ctx, x, linear(i, k_o, h));

        h = ops.norm(x, layer.feed_forward_norm);
        ggml_tensor * gate = linear(i, k_gate, h);
        ggml_tensor * up = linear(i, k_up, h);
        h = ggml_swiglu_split(ctx, gate, up);  // silu(gate) · up
        return ggml_add(ctx, x, linear(i, k_down, h));
    }
};

// Nodes of `layers` blocks, with room to spare.
size_t block_nodes(int64_t layers, const Batch & batch, int64_t slots) {
    return size_t(layers) * (100 + attention_nodes(batch, slots)) + 64;
}

}  // namespace

ForwardPass::ForwardPass(const Device & device, const Model & model, const LoraSlots & lora,
                         const Batch & batch, const Labels & labels, const Start & start,
                         int slots)
    : batch_(batch), labels_(labels), inputs_(model, batch, labels, start, slots),
      graph_(device, block_nodes(model.shapes().layers - start.layer, batch, slots) +
                         head_nodes(slots * inputs_.loss_rows)) {
    const LayerOps ops{ graph_.context(), model, inputs_ };
    const Block block{ ops, lora, batch, slots };
    const int64_t layers = model.shapes().layers;
    ggml_tensor * x = inputs_.states;
    if (slots > 1) {
        x = ggml_repeat_4d(ops.ctx, x, x->ne[0], inputs_.tokens, slots, 1);
        x = ggml_reshape_2d(ops.ctx, x, x->ne[0], inputs_.tokens * slots);
    }
    for (int64_t i = start.layer; i < layers; i++) {
        const bool last = i + 1 == layers;
        x = block(i, x, last && inputs_.loss_rows < inputs_.tokens);
    }
    x = ops.norm(x, model.output_norm());
    for (int64_t first = 0; first < x->ne[1]; first += k_head_columns) {
        const int64_t columns = std::min(k_head_columns, x->ne[1] - first);
        ggml_tensor * logits = add_shifts(ops, head_logits(ops, x, first, columns));
        ggml_tensor * losses = column_losses(ops, logits, head_targets(ops, first, columns));
        ggml_set_output(losses);
        graph_.expand(losses);
        results_.push_back(losses);
    }
}

double ForwardPass::summed_loss(int slot) const {
    const int64_t per_slot = int64_t(positions());
    double sum = 0;
    for (int64_t column = slot * per_slot; column < (slot + 1) * per_slot; column++) {
        sum += column_loss(results_[size_t(column / k_head_columns)], column % k_head_columns).nats;
    }
    if (!std::isfinite(sum)) throw Failure("the loss is not finite");
    return sum;
}

std::vector<int32_t> ForwardPass::predictions() const {
    std::vector<int32_t> tokens(positions());
    for (size_t column = 0; column < tokens.size(); column++) {
        const ggml_tensor * chunk = results_[column / size_t(k_head_columns)];
        const int64_t row = column_loss(chunk, int64_t(column) % k_head_columns).predicted;
        tokens[batch_.order[column]] = labels_.token_of(row);
    }
    return tokens;
}

std::vector<float> states_below(int64_t end, const Device & device, const Model & model,
                                const LoraSlots & lora, const Batch & batch) {
    std::vector<float> states(batch.tokens.size() * size_t(model.shapes().width));
    model.embed(batch.tokens, states.data());
    const BatchInputs inputs(model, batch, Labels(), { 0, states }, 1);
    Graph graph(device, block_nodes(end, batch, 1));
    const Block block{ { graph.context(), model, inputs }, lora, batch, 1 };
    ggml_tensor * x = inputs.states;
    for (int64_t i = 0; i < end; i++) x = block(i, x, /*loss_only=*/false);
    ggml_set_output(x);
    graph.expand(x);
    graph.allocate();
    graph.run();
    ggml_backend_tensor_get(x, states.data(), 0, ggml_nbytes(x));
    return states;
}

}  // namespace fwdllm
