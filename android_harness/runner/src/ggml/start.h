// Where a pass over a batch begins: at the input of a layer below which nothing moves.
#pragma once

#include <cstdint>
#include <vector>

namespace fwdllm {

struct Start {
    int64_t layer = 0;
    std::vector<float> states;  // [tokens, width] of the packed batch; embeddings for layer 0
};

}  // namespace fwdllm
