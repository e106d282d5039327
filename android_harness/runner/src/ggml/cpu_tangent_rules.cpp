#include "custom_node.h"
#include "tangent_rules.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace fwdllm {

// Sums in independent lanes, which the compiler keeps in vector registers.
static const int k_lanes = 16;

// Pairwise, so that half of the lanes are added at once.
static float sum_of(float (&lanes)[k_lanes]) {
    for (int lane = 0; lane < 8; lane++) lanes[lane] += lanes[lane + 8];
    for (int lane = 0; lane < 4; lane++) lanes[lane] += lanes[lane + 4];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

static float dot(const float * a, const float * b, int64_t count) {
    float lanes[k_lanes] = {};
    const int64_t whole = count - count % k_lanes;
    for (int64_t i = 0; i < whole; i += k_lanes) {
        for (int lane = 0; lane < k_lanes; lane++) lanes[lane] += a[i + lane] * b[i + lane];
    }
    float sum = sum_of(lanes);
    for (int64_t i = whole; i < count; i++) sum += a[i] * b[i];
    return sum;
}

// a·b + c·d
static float dot(const float * a, const float * b, const float * c, const float * d,
                 int64_t count) {
    float lanes[k_lanes] = {};
    const int64_t whole = count - count % k_lanes;
    for (int64_t i = 0; i < whole; i += k_lanes) {
        for (int lane = 0; lane < k_lanes; lane++) {
            lanes[lane] += a[i + lane] * b[i + lane] + c[i + lane] * d[i + lane];
        }
    }
    float sum = sum_of(lanes);
    for (int64_t i = whole; i < count; i++) sum += a[i] * b[i] + c[i] * d[i];
    return sum;
}

static void add_scaled(float * y, float scale, const float * x, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += scale * x[i];
}

// Rows of a matrix, `stride` floats apart, each with a factor.
struct Weighted {
    const float * factors;
    const float * rows;
    int64_t stride;
};

// out += Σ of the first `count` rows of each term. Elements are taken as many at a time as stay in
// registers while the rows go by.
template <int terms>
static void add_rows(float * out, int64_t size, const Weighted (&sum)[terms], int64_t count) {
    const int block = 4 * k_lanes;
    int64_t first = 0;
    for (; first + block <= size; first += block) {
        float kept[block];
        memcpy(kept, out + first, sizeof kept);
        for (const Weighted & term : sum) {
            const float * x = term.rows + first;
            for (int64_t row = 0; row < count; row++, x += term.stride) {
                const float factor = term.factors[row];
                for (int i = 0; i < block; i++) kept[i] += factor * x[i];
            }
        }
        memcpy(out + first, kept, sizeof kept);
    }
    for (int64_t row = 0; row < count && first < size; row++) {
        for (const Weighted & term : sum) {
            add_scaled(out + first, term.factors[row], term.rows + row * term.stride + first,
                       size - first);
        }
    }
}

// Norm and gate ------------------------------------------------------------------------------

static void run_norm_tangent(ggml_tensor * node, int thread, int threads, void * setting) {
    const float epsilon = *static_cast<const float *>(setting);
    const int64_t width = node->ne[0], columns = node->src[0]->ne[1];
    const float * x = data_of(node, 0), * weight = data_of(node, 1), * x_dot = data_of(node, 2);
    for (int64_t column = thread; column < node->ne[1]; column += threads) {
        const float * primal = x + column % columns * width;
        const float * in = x_dot + column * width;
        float * out = data_of(node) + column * width;
        const float mean_square = dot(primal, primal, width) / float(width) + epsilon;
        const float inverse = 1.0f / std::sqrt(mean_square);
        const float along = dot(primal, in, width) / float(width) / mean_square;
        for (int64_t i = 0; i < width; i++) {
            out[i] = weight[i] * (in[i] - primal[i] * along) * inverse;
        }
    }
}

// Source 0 is ġ where there is one, else u̇; the result takes its place.
struct GateSources {
    bool has_gate_dot;
    bool has_up_dot;
};

static void run_gate_tangent(ggml_tensor * node, int thread, int threads, void * setting) {
    const GateSources & source = *static_cast<const GateSources *>(setting);
    const int64_t width = node->ne[0], columns = node->src[1]->ne[1];
    const float * gate_dot = source.has_gate_dot ? data_of(node, 0) : nullptr;
    const float * up_dot = !source.has_up_dot ? nullptr : data_of(node, gate_dot != nullptr ? 3 : 0);
    for (int64_t column = thread; column < node->ne[1]; column += threads) {
        const float * of_gate = data_of(node, 1) + column % columns * width;
        const float * of_up = data_of(node, 2) + column % columns * width;
        const float * g = gate_dot + column * width, * u = up_dot + column * width;
        float * out = data_of(node) + column * width;
        if (gate_dot == nullptr) {
            for (int64_t i = 0; i < width; i++) out[i] = of_up[i] * u[i];
        } else if (up_dot == nullptr) {
            for (int64_t i = 0; i < width; i++) out[i] = of_gate[i] * g[i];
        } else {
            for (int64_t i = 0; i < width; i++) out[i] = of_gate[i] * g[i] + of_up[i] * u[i];
        }
    }
}

// Attention ----------------------------------------------------------------------------------

// The sequences that attention sees, and where the weights p of each begin: for each head those of
// query 0 on key 0, of query 1 on keys 0 and 1, and so on.
struct AttentionPlan {
    AttentionPlan(const Batch & batch, const Shapes & shapes);

    struct Sequence {
        int64_t first;    // column
        int64_t length;
        int64_t weights;  // offset of the first head's
    };
    int64_t key_stride() const { return key_value_heads * head_size; }  // between columns

    std::vector<Sequence> sequences;
    int64_t heads, key_value_heads, head_size;
    int64_t columns;
    int64_t weights = 0;  // of all sequences and heads
    float scale;
};

AttentionPlan::AttentionPlan(const Batch & batch, const Shapes & shapes)
    : heads(shapes.heads), key_value_heads(shapes.key_value_heads), head_size(shapes.head_size),
      columns(int64_t(batch.tokens.size())), scale(1.0f / std::sqrt(float(shapes.head_size))) {
    for (const Batch::Group & g : batch.groups) {
        for (int64_t i = 0; i < g.count; i++) {
            sequences.push_back({ g.first + i * g.length, g.length, weights });
            weights += heads * (g.length * (g.length + 1) / 2);
        }
    }
}

namespace {

// One head of one sequence; threads take these in turn.
struct Unit {
    const AttentionPlan & plan;
    const AttentionPlan::Sequence & sequence;
    int64_t head;

    Unit(const AttentionPlan & p, int64_t index)
        : plan(p), sequence(p.sequences[size_t(index / p.heads)]), head(index % p.heads) {}

    float * weights_of(float * all, int64_t query) const {
        const int64_t length = sequence.length;
        return all + sequence.weights + head * (length * (length + 1) / 2) +
               query * (query + 1) / 2;
    }
    const float * weights_of(const float * all, int64_t query) const {
        return weights_of(const_cast<float *>(all), query);
    }
    // Position `at` of the sequence in a matrix of `count` heads a column, `first` columns on.
    const float * query(const float * q, int64_t at, int64_t first = 0) const {
        return row(q, plan.heads, head, at, first);
    }
    const float * key(const float * k, int64_t at, int64_t first = 0) const {
        return row(k, plan.key_value_heads, head / (plan.heads / plan.key_value_heads), at, first);
    }
    const float * row(const float * x, int64_t heads, int64_t which, int64_t at,
                      int64_t first) const {
        return x + ((first + sequence.first + at) * heads + which) * plan.head_size;
    }
};

}  // namespace

static void run_attention_weights(ggml_tensor * node, int thread, int threads, void * setting) {
    const AttentionPlan & plan = *static_cast<const AttentionPlan *>(setting);
    const float * q = data_of(node, 0), * k = data_of(node, 1);
    const int64_t units = int64_t(plan.sequences.size()) * plan.heads;
    for (int64_t index = thread; index < units; index += threads) {
        const Unit unit(plan, index);
        for (int64_t i = 0; i < unit.sequence.length; i++) {
            float * p = unit.weights_of(data_of(node), i);
            float top = -INFINITY, sum = 0;
            for (int64_t j = 0; j <= i; j++) {
                p[j] = dot(unit.query(q, i), unit.key(k, j), plan.head_size) * plan.scale;
                top = std::max(top, p[j]);
            }
            for (int64_t j = 0; j <= i; j++) sum += p[j] = std::exp(p[j] - top);
            for (int64_t j = 0; j <= i; j++) p[j] /= sum;
        }
    }
}

static void run_attention_output(ggml_tensor * node, int thread, int threads, void * setting) {
    const AttentionPlan & plan = *static_cast<const AttentionPlan *>(setting);
    const float * weights = data_of(node, 0), * v = data_of(node, 1);
    const int64_t units = int64_t(plan.sequences.size()) * plan.heads;
    for (int64_t index = thread; index < units; index += threads) {
        const Unit unit(plan, index);
        for (int64_t i = 0; i < unit.sequence.length; i++) {
            const float * p = unit.weights_of(weights, i);
            float * out = const_cast<float *>(unit.query(data_of(node), i));
            std::fill(out, out + plan.head_size, 0.0f);
            add_rows(out, plan.head_size, { { p, unit.key(v, 0), plan.key_stride() } }, i + 1);
        }
    }
}

struct AttentionSources {
    const AttentionPlan * plan;
    int directions;
    int weights, q, k, v, q_dot, k_dot, v_dot;
};

static void run_attention_tangent(ggml_tensor * node, int thread, int threads, void * setting) {
    const AttentionSources & source = *static_cast<const AttentionSources *>(setting);
    const AttentionPlan & plan = *source.plan;
    const float * weights = data_of(node, source.weights);
    const float * q = data_of(node, source.q), * k = data_of(node, source.k);
    const float * v = data_of(node, source.v);
    const float * q_dot = data_of(node, source.q_dot), * k_dot = data_of(node, source.k_dot);
    const float * v_dot = data_of(node, source.v_dot);
    const int64_t size = plan.head_size;
    const int64_t units = int64_t(plan.sequences.size()) * plan.heads;
    std::vector<float> p_dot;
    for (int64_t index = thread; index < units * source.directions; index += threads) {
        const Unit unit(plan, index % units);
        const int64_t first = index / units * plan.columns;  // column of the direction
        p_dot.resize(size_t(unit.sequence.length));
        for (int64_t i = 0; i < unit.sequence.length; i++) {
            const float * p = unit.weights_of(weights, i);
            float * out = const_cast<float *>(unit.query(data_of(node), i, first));
            std::fill(out, out + size, 0.0f);
            const Weighted of_v_dot{ p, v_dot == nullptr ? nullptr : unit.key(v_dot, 0, first),
                                     plan.key_stride() };
            if (q_dot == nullptr && k_dot == nullptr) {
                add_rows(out, size, { of_v_dot }, i + 1);
                continue;
            }
            float mean = 0;
            for (int64_t j = 0; j <= i; j++) {
                float s;
                if (k_dot == nullptr) {
                    s = dot(unit.query(q_dot, i, first), unit.key(k, j), size);
                } else if (q_dot == nullptr) {
                    s = dot(unit.query(q, i), unit.key(k_dot, j, first), size);
                } else {
                    s = dot(unit.query(q_dot, i, first), unit.key(k, j), unit.query(q, i),
                            unit.key(k_dot, j, first), size);
                }
                p_dot[size_t(j)] = s * plan.scale;
                mean += p[j] * p_dot[size_t(j)];
            }
            for (int64_t j = 0; j <= i; j++) p_dot[size_t(j)] = p[j] * (p_dot[size_t(j)] - mean);
            const Weighted of_v{ p_dot.data(), unit.key(v, 0), plan.key_stride() };
            if (v_dot == nullptr) {
                add_rows(out, size, { of_v }, i + 1);
            } else {
                add_rows(out, size, { of_v, of_v_dot }, i + 1);
            }
        }
    }
}

// The rules ----------------------------------------------------------------------------------

namespace {

class CpuRules : public TangentRules {
  public:
    CpuRules(Graph & graph, const LayerOps & ops, const Batch & batch)
        : graph_(graph), ctx_(graph.context()),
          plan_(graph.keep(AttentionPlan(batch, ops.shapes()))),
          epsilon_(graph.keep(ops.shapes().norm_epsilon)) {}

    ggml_tensor * norm(ggml_tensor * x, ggml_tensor * weight, ggml_tensor * x_dot) override {
        if (x_dot == nullptr) return nullptr;
        Arguments arguments;
        for (ggml_tensor * t : { x, weight, x_dot }) arguments.add(t);
        return arguments.node(ctx_, GGML_TYPE_F32, x_dot->ne[0], x_dot->ne[1], 1, run_norm_tangent,
                              epsilon_);
    }

    ggml_tensor * gate(ggml_tensor * of_gate, ggml_tensor * of_up, ggml_tensor * gate_dot,
                       ggml_tensor * up_dot) override {
        if (gate_dot == nullptr && up_dot == nullptr) return nullptr;
        const GateSources source{ gate_dot != nullptr, up_dot != nullptr };
        Arguments arguments;
        arguments.add(of_gate);
        arguments.add(of_up);
        if (gate_dot != nullptr) arguments.add(up_dot);
        return arguments.node_in_place(ctx_, gate_dot != nullptr ? gate_dot : up_dot,
                                       run_gate_tangent, graph_.keep(source));
    }

    Attended attend(ggml_tensor * q, ggml_tensor * k, ggml_tensor * v) override {
        Arguments of_weights, of_output;
        for (ggml_tensor * t : { q, k }) of_weights.add(t);
        ggml_tensor * weights = of_weights.node(ctx_, GGML_TYPE_F32, plan_->weights, 1, 1,
                                                run_attention_weights, plan_);
        for (ggml_tensor * t : { weights, v }) of_output.add(t);
        ggml_tensor * output =
            of_output.node(ctx_, GGML_TYPE_F32, plan_->heads * plan_->head_size, plan_->columns, 1,
                           run_attention_output, plan_);
        return { q, k, v, { weights }, output };
    }

    ggml_tensor * attention(const Attended & attended, ggml_tensor * q_dot, ggml_tensor * k_dot,
                            ggml_tensor * v_dot, int directions) override {
        if (q_dot == nullptr && k_dot == nullptr && v_dot == nullptr) return nullptr;
        Arguments arguments;
        AttentionSources source{ plan_, directions, 0, 0, 0, 0, 0, 0, 0 };
        source.weights = arguments.add(attended.weights[0]);
        source.q = arguments.add(attended.q);
        source.k = arguments.add(attended.k);
        source.v = arguments.add(attended.v);
        source.q_dot = arguments.add(q_dot);
        source.k_dot = arguments.add(k_dot);
        source.v_dot = arguments.add(v_dot);
        return arguments.node(ctx_, GGML_TYPE_F32, plan_->heads * plan_->head_size,
                              directions * plan_->columns, 1, run_attention_tangent,
                              graph_.keep(source));
    }

  private:
    Graph & graph_;
    ggml_context * ctx_;
    AttentionPlan * plan_;
    float * epsilon_;
};

}  // namespace

std::unique_ptr<TangentRules> cpu_rules(Graph & graph, const LayerOps & ops, const Batch & batch) {
    return std::make_unique<CpuRules>(graph, ops, batch);
}

}  // namespace fwdllm
