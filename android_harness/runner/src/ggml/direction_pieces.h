// LoRA's derivative along directions: Ȧ and Ḃ made as they are needed, and what they multiply.
#pragma once

#include "graph.h"
#include "lora.h"

#include <vector>

namespace fwdllm {

// Directions of a pass, of which a node takes `count` from `first`. They are made when the node
// runs, so that only the pieces in use take memory.
struct DirectionRange {
    const std::vector<Direction> * all;
    int first, count;
};

// Ȧ of each direction, its rows padded with zeros: [inputs, rows, directions].
ggml_tensor * a_directions(Graph & graph, const DirectionRange & range, const Adapter & adapter,
                           size_t matrix, int64_t rows);
// [B Ḃ] of each direction, columns side by side and padded with zeros:
// [columns, outputs, directions]. `b` is [padded rank, outputs].
ggml_tensor * b_and_directions(Graph & graph, const DirectionRange & range, const Adapter & adapter,
                               size_t matrix, ggml_tensor * b, int64_t columns);
// What those multiply: scale · (Ȧ·h + A·ḣ) above scale · A·h, [rows, directions · columns].
// `low` is A·h [≥ rank, columns]; a_dot_h [rows of Ȧ · directions, columns]; a_h_dot
// [≥ rank, directions · columns]. Each may be nullptr.
ggml_tensor * low_rank_tangent(Graph & graph, ggml_tensor * low, ggml_tensor * a_dot_h,
                               ggml_tensor * a_h_dot, int64_t rank, float scale, int64_t rows,
                               int directions, int64_t columns);

}  // namespace fwdllm
