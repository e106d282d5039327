// Cross entropy of one position's logits, in double from float32 logits.
#pragma once

#include "labels.h"

#include <cstdint>

namespace fwdllm {

struct PositionLoss {
    double nats;        // −log p(target)
    int64_t predicted;  // the most probable row; the lowest among equals
};

// p = softmax over the logits of all `count` rows.
PositionLoss cross_entropy(const float * logits, int64_t count, int64_t target);

// Its derivative Σ p l̇ − l̇[target], along the logits' tangent l̇.
double cross_entropy_tangent(const float * p, const float * l_dot, int64_t count, int64_t target);

}  // namespace fwdllm
