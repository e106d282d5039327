// What a verbalizer chooses among.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fwdllm {

// Without tokens the loss is over the whole vocabulary. A model's output has one row for each of
// `tokens`, or for each token of the vocabulary.
struct Labels {
    std::vector<int32_t> tokens;  // ascending
    std::vector<float> shifts;    // nats, added to the tokens' logits; as many as tokens

    int64_t row_of(int32_t token) const {
        if (tokens.empty()) return token;
        return std::lower_bound(tokens.begin(), tokens.end(), token) - tokens.begin();
    }
    int32_t token_of(int64_t row) const {
        return tokens.empty() ? int32_t(row) : tokens[size_t(row)];
    }
};

}  // namespace fwdllm
