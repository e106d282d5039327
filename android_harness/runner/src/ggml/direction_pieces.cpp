#include "direction_pieces.h"

#include "custom_node.h"

#include <algorithm>
#include <cstring>

namespace fwdllm {

static void add_scaled(float * y, float scale, const float * x, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += scale * x[i];
}

struct Pieces {
    DirectionRange range;
    const Adapter * adapter;
    size_t matrix;

    const LoraMatrix & shape() const { return adapter->matrices()[matrix]; }
    void copy(int direction, int64_t first, int64_t count, float * out) const {
        copy_rows((*range.all)[size_t(range.first + direction)], shape(), matrix,
                  first, count, out);
    }
};

static void run_a_directions(ggml_tensor * node, int thread, int threads, void * setting) {
    const Pieces & pieces = *static_cast<const Pieces *>(setting);
    const int64_t rank = pieces.shape().rows;
    const int64_t inputs = node->ne[0], rows = node->ne[1];
    for (int64_t row = thread; row < rows * node->ne[2]; row += threads) {
        float * out = data_of(node) + row * inputs;
        if (row % rows < rank) {
            pieces.copy(int(row / rows), row % rows, 1, out);
        } else {
            std::fill(out, out + inputs, 0.0f);
        }
    }
}

ggml_tensor * a_directions(Graph & graph, const DirectionRange & range, const Adapter & adapter,
                           size_t matrix, int64_t rows) {
    Arguments arguments;
    return arguments.node(graph.context(), GGML_TYPE_F32, adapter.matrices()[matrix].columns, rows,
                          range.count, run_a_directions,
                          graph.keep(Pieces{ range, &adapter, matrix }));
}

static void run_b_and_directions(ggml_tensor * node, int thread, int threads, void * setting) {
    const Pieces & pieces = *static_cast<const Pieces *>(setting);
    const LoraMatrix & shape = pieces.shape();
    const int64_t rank = shape.columns, columns = node->ne[0];
    const float * b = data_of(node, 0);
    const int64_t b_columns = node->src[0]->ne[0];
    for (int64_t index = thread; index < shape.rows * node->ne[2]; index += threads) {
        const int64_t direction = index / shape.rows, peft_row = index % shape.rows;
        const int64_t place =
            shape.head_size > 0 ? ggml_row_of(peft_row, shape.head_size) : peft_row;
        float * out = data_of(node) + (direction * shape.rows + place) * columns;
        memcpy(out, b + place * b_columns, size_t(rank) * sizeof(float));
        pieces.copy(int(direction), peft_row, 1, out + rank);
        std::fill(out + 2 * rank, out + columns, 0.0f);
    }
}

ggml_tensor * b_and_directions(Graph & graph, const DirectionRange & range, const Adapter & adapter,
                               size_t matrix, ggml_tensor * b, int64_t columns) {
    Arguments arguments;
    arguments.add(b);
    return arguments.node(graph.context(), GGML_TYPE_F32, columns, adapter.matrices()[matrix].rows,
                          range.count, run_b_and_directions,
                          graph.keep(Pieces{ range, &adapter, matrix }));
}

struct LowRankSources {
    int low, a_dot_h, a_h_dot;
    int64_t rank;
    float scale;
    int64_t columns;
};

static void run_low_rank_tangent(ggml_tensor * node, int thread, int threads, void * setting) {
    const LowRankSources & source = *static_cast<const LowRankSources *>(setting);
    const int64_t rank = source.rank, rows = node->ne[0];
    const float * low = data_of(node, source.low);
    const float * a_dot_h = data_of(node, source.a_dot_h);
    const float * a_h_dot = data_of(node, source.a_h_dot);
    for (int64_t column = thread; column < node->ne[1]; column += threads) {
        const int64_t direction = column / source.columns, primal = column % source.columns;
        float * out = data_of(node) + column * rows;
        std::fill(out, out + rows, 0.0f);
        if (a_dot_h != nullptr) {  // [rows of Ȧ, directions] in each column of the primal
            const ggml_tensor * t = node->src[source.a_dot_h];
            const int64_t directions = node->ne[1] / source.columns;
            const float * first = a_dot_h + primal * t->ne[0] + direction * (t->ne[0] / directions);
            add_scaled(out, source.scale, first, rank);
        }
        if (a_h_dot != nullptr) {
            add_scaled(out, source.scale, a_h_dot + column * node->src[source.a_h_dot]->ne[0],
                       rank);
        }
        if (low != nullptr) {
            add_scaled(out + rank, source.scale, low + primal * node->src[source.low]->ne[0], rank);
        }
    }
}

ggml_tensor * low_rank_tangent(Graph & graph, ggml_tensor * low, ggml_tensor * a_dot_h,
                               ggml_tensor * a_h_dot, int64_t rank, float scale, int64_t rows,
                               int directions, int64_t columns) {
    Arguments arguments;
    LowRankSources source{ 0, 0, 0, rank, scale, columns };
    source.low = arguments.add(low);
    source.a_dot_h = arguments.add(a_dot_h);
    source.a_h_dot = arguments.add(a_h_dot);
    return arguments.node(graph.context(), GGML_TYPE_F32, rows, directions * columns, 1,
                          run_low_rank_tangent, graph.keep(source));
}

}  // namespace fwdllm
