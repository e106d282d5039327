// products MODEL THREADS FIRST_LAYER TOKENS LOSS_ROWS DIRECTIONS REPETITIONS: CPU nanoseconds, one
// line a repetition, of nothing but the products with frozen weights that a tangent pass makes
// from FIRST_LAYER on when LoRA is on q and v. bench/slope_cost.py compares it with whole passes.

#include "clock.h"
#include "graph.h"
#include "model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

using namespace fwdllm;

namespace {

const int64_t k_columns = 256;  // as many as go through a layer together, see tangent_pass.cpp

struct Products {
    const Model & model;
    Graph & graph;

    // W·x for `columns` columns of whatever lies in memory.
    void add(const Linear & linear, int64_t columns) {
        ggml_tensor * weight = linear.weight;
        for (int64_t first = 0; first < columns; first += k_columns) {
            const int64_t count = std::min(k_columns, columns - first);
            ggml_tensor * x = inputs[{ weight->ne[0], count }];
            if (x == nullptr) {
                x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, weight->ne[0], count);
                inputs[{ weight->ne[0], count }] = x;
            }
            graph.expand(ggml_mul_mat(graph.context(), weight, x));
        }
    }

    ContextHandle context = new_context(64);
    std::map<std::pair<int64_t, int64_t>, ggml_tensor *> inputs = {};
};

}  // namespace

int main(int argc, char ** argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: products MODEL THREADS FIRST_LAYER TOKENS LOSS_ROWS DIRECTIONS "
                        "REPETITIONS\n");
        return 2;
    }
    const auto number = [&](int i) { return int64_t(atoll(argv[i])); };
    const int64_t first = number(3), tokens = number(4), loss_rows = number(5);
    const int64_t directions = number(6);
    const Cpu cpu(int(number(2)), std::nullopt);
    const Device device(cpu, std::nullopt);
    const Model model(argv[1], device, {}, std::nullopt);
    const int64_t layers = model.shapes().layers;
    Graph graph(device, size_t(layers * 7 * (directions + 2)) + 8);
    Products products{ model, graph };
    for (int64_t i = first; i < layers; i++) {
        for (int m = 0; m < k_modules; m++) {
            const bool attention = m == k_q || m == k_k || m == k_v;
            const int64_t rows = attention || i + 1 < layers ? tokens : loss_rows;
            const Linear & linear = model.layers()[size_t(i)].linear[size_t(m)];
            products.add(linear, rows);
            // The first layer's tangents begin behind its products of q, k and v.
            if (!attention || i > first) products.add(linear, rows * directions);
        }
    }
    products.add({ model.output(), nullptr }, loss_rows * (1 + directions));
    BufferHandle buffer = allocate(products.context.get(), ggml_backend_cpu_buffer_type());
    for (auto & [shape, x] : products.inputs) {
        std::fill_n(static_cast<float *>(x->data), ggml_nelements(x), 0.5f);
    }
    graph.allocate();
    graph.run();
    for (int64_t i = 0; i < number(7); i++) {
        const int64_t start = process_cpu_ns();
        graph.run();
        printf("%lld\n", (long long) (process_cpu_ns() - start));
    }
    return 0;
}
