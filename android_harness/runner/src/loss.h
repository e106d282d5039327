// Cross entropy of one position's logits, in double from float32 logits.
#pragma once

#include <cstdint>
#include <vector>

namespace fwdllm {

// What a verbalizer chooses among; without tokens the loss is over the whole vocabulary.
struct Labels {
    std::vector<int32_t> tokens;
    std::vector<float> shifts;  // nats, added to the tokens' logits; as many as tokens
};

struct PositionLoss {
    double nats;        // −log p(target)
    int32_t predicted;  // the most probable token; the lowest id among equals
};

// p = softmax over all `vocabulary` logits.
PositionLoss vocabulary_loss(const float * logits, int64_t vocabulary, int32_t target);

// p = softmax over the shifted logits of `labels` alone; the target and the prediction are among
// them.
PositionLoss verbalizer_loss(const float * logits, const Labels & labels, int32_t target);

}  // namespace fwdllm
