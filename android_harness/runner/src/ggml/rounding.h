// What a product with quantized weights loses: ggml rounds its columns to 8 bits in small blocks.
#pragma once

#include "ggml.h"

namespace fwdllm {

// x less what the product with `weight` sees of it: W·x + W·rest has x to about 16 bits. nullptr
// where a product does not round to 8 bits, or not in blocks of 32 (Q8_0).
ggml_tensor * rounding_rest(ggml_context * ctx, const ggml_tensor * weight, ggml_tensor * x);

}  // namespace fwdllm
