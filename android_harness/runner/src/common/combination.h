// Directions over a part of the LoRA parameters, and weighted sums of them; the same as
// exporters/lora/support.py and exporters/lora/combination.py.
#pragma once

#include "directions.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace fwdllm {

using LayerRange = std::pair<int64_t, int64_t>;  // inclusive

// The parameters that move: those of a range of layers, and of A and B or of B alone.
struct Support {
    std::optional<LayerRange> layers;  // absent: all
    bool b_only = false;

    bool contains(int64_t layer, bool is_b) const {
        const bool in_layers = !layers || (layer >= layers->first && layer <= layers->second);
        return in_layers && (is_b || !b_only);
    }
};

// One seed names a direction over the whole vector. One seed for each matrix of the adapter, in
// its order, names the direction whose piece in each matrix is that of the matrix's own seed.
using DirectionName = std::variant<uint64_t, std::vector<uint64_t>>;

inline uint64_t seed_of(const DirectionName & name, size_t matrix) {
    if (const uint64_t * seed = std::get_if<uint64_t>(&name)) return *seed;
    return std::get<std::vector<uint64_t>>(name)[matrix];
}

// Σ coefficient · direction, all of one distribution and support.
struct Combination {
    Distribution distribution = Distribution::rademacher;
    Support support;
    std::vector<std::pair<DirectionName, float>> pairs;
};

}  // namespace fwdllm
