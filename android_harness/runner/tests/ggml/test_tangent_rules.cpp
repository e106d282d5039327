// The two ways of computing tangents against each other: fused on the CPU, and by ggml's operations.

#include "check.h"
#include "tangent_rules.h"

#include "gguf.h"

#include <cmath>
#include <cstring>
#include <functional>

using namespace fwdllm;

namespace {

const int64_t k_head_size = 6, k_heads = 4, k_key_value_heads = 2, k_width = 24;

// A model of which the rules see the shapes alone.
std::string write_model(const std::string & path) {
    gguf_context * file = gguf_init_empty();
    gguf_set_val_str(file, "general.architecture", "llama");
    const std::pair<const char *, uint32_t> sizes[] = {
        { "llama.block_count", 1 },
        { "llama.context_length", 64 },
        { "llama.embedding_length", uint32_t(k_width) },
        { "llama.feed_forward_length", 8 },
        { "llama.attention.head_count", uint32_t(k_heads) },
        { "llama.attention.head_count_kv", uint32_t(k_key_value_heads) },
    };
    for (const auto & [name, value] : sizes) gguf_set_val_u32(file, name, value);
    gguf_set_val_f32(file, "llama.attention.layer_norm_rms_epsilon", 1e-5f);

    ggml_context * tensors = ggml_init({ 1 << 20, nullptr, false });
    const auto add = [&](const std::string & name, int64_t columns, int64_t rows) {
        ggml_tensor * t = rows == 0 ? ggml_new_tensor_1d(tensors, GGML_TYPE_F32, columns)
                                    : ggml_new_tensor_2d(tensors, GGML_TYPE_F32, columns, rows);
        ggml_set_name(t, name.c_str());
        memset(t->data, 0, ggml_nbytes(t));
        gguf_add_tensor(file, t);
    };
    const int64_t key_value = k_key_value_heads * k_head_size;
    add("token_embd.weight", k_width, 8);
    add("output_norm.weight", k_width, 0);
    add("blk.0.attn_norm.weight", k_width, 0);
    add("blk.0.ffn_norm.weight", k_width, 0);
    add("blk.0.attn_q.weight", k_width, k_width);
    add("blk.0.attn_k.weight", k_width, key_value);
    add("blk.0.attn_v.weight", k_width, key_value);
    add("blk.0.attn_output.weight", k_width, k_width);
    add("blk.0.ffn_gate.weight", k_width, 8);
    add("blk.0.ffn_up.weight", k_width, 8);
    add("blk.0.ffn_down.weight", 8, k_width);
    CHECK(gguf_write_to_file(file, path.c_str(), /*only_meta=*/false));
    ggml_free(tensors);
    gguf_free(file);
    return path;
}

// Random inputs of nodes.
struct Inputs {
    ContextHandle context = new_context(16);
    BufferHandle buffer;
    uint32_t state = 1;

    ggml_tensor * add(int64_t a, int64_t b, int64_t c = 1) {
        return ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, a, b, c);
    }
    void fill() {
        buffer = allocate(context.get(), ggml_backend_cpu_buffer_type());
        for (ggml_tensor * t = ggml_get_first_tensor(context.get()); t != nullptr;
             t = ggml_get_next_tensor(context.get(), t)) {
            float * values = static_cast<float *>(t->data);
            for (int64_t i = 0; i < ggml_nelements(t); i++) {
                state = state * 1664525u + 1013904223u;
                values[i] = float(state >> 8) / 8388608.0f - 1.0f;
            }
        }
    }
};

struct Bench {
    TemporaryFile file{ "" };
    Cpu cpu{ 2, std::nullopt };
    Device device{ cpu, std::nullopt };
    Model model{ write_model(file.path), device, {}, std::nullopt };
    // Three lengths, one of them twice.
    std::vector<Example> examples = { { { 1, 2, 3 }, { 2, 3, 4 } },
                                      { { 1 }, { 2 } },
                                      { { 5, 6, 7, 1, 2 }, { 6, 7, 1, 2, 3 } },
                                      { { 4, 5, 6 }, { 5, 6, 7 } } };
    Batch batch = pack_batch(examples, { 0, 1, 2, 3 });
    Start start{ 0, std::vector<float>(batch.tokens.size() * size_t(k_width)) };
    BatchInputs inputs{ model, batch, Labels(), start, 3 };

    using Make = std::function<ggml_tensor *(TangentRules &, ggml_context *)>;

    // What a node computes under the rules of one kind.
    std::vector<float> result(const Make & make, bool fused) {
        Graph graph(device, 1024);
        const LayerOps ops{ graph.context(), model, inputs };
        const auto rules = fused ? cpu_rules(graph, ops, batch) : ggml_rules(ops, batch);
        ggml_tensor * node = make(*rules, graph.context());
        ggml_set_output(node);
        graph.expand(node);
        graph.allocate();
        graph.run();
        const float * first = static_cast<const float *>(node->data);
        return std::vector<float>(first, first + ggml_nelements(node));
    }

    void agree(const Make & make) {
        const auto fused = result(make, true), by_ggml = result(make, false);
        CHECK(fused.size() == by_ggml.size());
        for (size_t i = 0; i < fused.size(); i++) {
            CHECK(std::fabs(fused[i] - by_ggml[i]) <= 2e-6f * (1 + std::fabs(fused[i])));
        }
    }
};

}  // namespace

static void test_norm_and_gate(Bench & bench, int directions) {
    const int64_t columns = int64_t(bench.batch.tokens.size());
    Inputs in;
    ggml_tensor * x = in.add(k_width, columns), * weight = in.add(k_width, 1);
    ggml_tensor * of_gate = in.add(k_width, columns), * of_up = in.add(k_width, columns);
    ggml_tensor * a = in.add(k_width, columns * directions);
    ggml_tensor * b = in.add(k_width, columns * directions);
    in.fill();
    bench.agree([&](TangentRules & rules, ggml_context *) { return rules.norm(x, weight, a); });
    using Pair = std::pair<ggml_tensor *, ggml_tensor *>;
    for (const auto & [gate_dot, up_dot] : { Pair(a, b), Pair(a, nullptr), Pair(nullptr, b) }) {
        bench.agree([&, g = gate_dot, u = up_dot](TangentRules & rules, ggml_context * ctx) {
            const auto copy = [&](ggml_tensor * x) { return x ? ggml_dup(ctx, x) : nullptr; };
            return rules.gate(of_gate, of_up, copy(g), copy(u));
        });
    }
}

static void test_attention(Bench & bench, int directions) {
    const int64_t columns = int64_t(bench.batch.tokens.size());
    Inputs in;
    ggml_tensor * q = in.add(k_head_size, k_heads, columns);
    ggml_tensor * k = in.add(k_head_size, k_key_value_heads, columns);
    ggml_tensor * v = in.add(k_head_size, k_key_value_heads, columns);
    ggml_tensor * q_dot = in.add(k_head_size, k_heads, columns * directions);
    ggml_tensor * k_dot = in.add(k_head_size, k_key_value_heads, columns * directions);
    ggml_tensor * v_dot = in.add(k_head_size, k_key_value_heads, columns * directions);
    in.fill();
    bench.agree([&](TangentRules & rules, ggml_context *) { return rules.attend(q, k, v).output; });
    for (int zero = 0; zero < 7; zero++) {  // which tangents are zero, not all
        bench.agree([&](TangentRules & rules, ggml_context *) {
            return rules.attention(rules.attend(q, k, v), zero & 1 ? nullptr : q_dot,
                                   zero & 2 ? nullptr : k_dot, zero & 4 ? nullptr : v_dot,
                                   directions);
        });
    }
}

int main() {
    Bench bench;
    for (int directions : { 1, 3 }) {
        test_norm_and_gate(bench, directions);
        test_attention(bench, directions);
    }
    return 0;
}
