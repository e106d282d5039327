#include "rounding.h"

#include "custom_node.h"

#include "ggml-cpu.h"

#include <vector>

namespace fwdllm {

static void run_rounding_rest(ggml_tensor * node, int thread, int threads, void *) {
    const auto * seen = ggml_get_type_traits(GGML_TYPE_Q8_0);
    const auto from_float = ggml_get_type_traits_cpu(GGML_TYPE_Q8_0)->from_float;
    const int64_t width = node->ne[0];
    std::vector<uint8_t> rounded(ggml_row_size(GGML_TYPE_Q8_0, width));
    for (int64_t column = thread; column < node->ne[1]; column += threads) {
        const float * x = data_of(node, 0) + column * width;
        float * out = data_of(node) + column * width;
        from_float(x, rounded.data(), width);
        seen->to_float(rounded.data(), out, width);
        for (int64_t i = 0; i < width; i++) out[i] = x[i] - out[i];
    }
}

ggml_tensor * rounding_rest(ggml_context * ctx, const ggml_tensor * weight, ggml_tensor * x) {
    if (ggml_get_type_traits_cpu(weight->type)->vec_dot_type != GGML_TYPE_Q8_0) return nullptr;
    Arguments arguments;
    arguments.add(x);
    return arguments.node(ctx, GGML_TYPE_F32, x->ne[0], x->ne[1], 1, run_rounding_rest, nullptr);
}

}  // namespace fwdllm
