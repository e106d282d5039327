// Cross entropy of one position's logits, in double from float32 logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fwdllm {

// What a verbalizer chooses among; without tokens the loss is over the whole vocabulary. The
// model's output matrix has one row for each of `tokens`, or for each token of the vocabulary.
struct Labels {
    std::vector<int32_t> tokens;  // ascending
    std::vector<float> shifts;    // nats, added to the tokens' logits; as many as tokens

    int64_t row_of(int32_t token) const;
    int32_t token_of(int64_t row) const {
        return tokens.empty() ? int32_t(row) : tokens[size_t(row)];
    }
};

struct PositionLoss {
    double nats;        // −log p(target)
    int64_t predicted;  // the most probable row; the lowest among equals
};

// p = softmax over the logits of all `count` rows.
PositionLoss cross_entropy(const float * logits, int64_t count, int64_t target);

// Its derivative Σ p l̇ − l̇[target], along the logits' tangent l̇.
double cross_entropy_tangent(const float * p, const float * l_dot, int64_t count, int64_t target);

}  // namespace fwdllm
