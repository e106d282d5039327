// Random directions over the flat LoRA vector, named by a 64-bit seed; the same numbers as
// exporters/lora/directions.py, which tests/directions_vectors.json freezes for both.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fwdllm {

enum class Distribution { rademacher, gaussian };

// y[i] = x[i] + scale · v[first + i] for i < count, in float32 without fused multiply-add, where
// v is the direction of `seed`. x and y may be the same array. The direction itself is never held
// in memory: any part of it is made from the counter alone.
void add_direction(uint64_t seed, Distribution distribution, float scale, size_t first,
                   size_t count, const float * x, float * y);

}  // namespace fwdllm
