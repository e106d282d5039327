// The LoRA matrices as pieces of the flat parameter vector, and directions over them.
#pragma once

#include "combination.h"

#include <cstdint>
#include <variant>
#include <vector>

namespace fwdllm {

// One A (rank × inputs) or B (outputs × rank) matrix inside the flat vector, row-major, with the
// row order of PEFT.
struct ParameterMatrix {
    int64_t layer;
    bool is_b;
    int64_t rows;
    int64_t columns;
    size_t offset;  // parameters before it
    size_t size() const { return size_t(rows * columns); }
};

// A direction by its name, zero outside the support.
struct NamedDirection {
    DirectionName name;
    Distribution distribution = Distribution::rademacher;
    Support support;
};

// A direction by its elements, one for each parameter.
using GivenDirection = std::vector<float>;

using Direction = std::variant<NamedDirection, GivenDirection>;

// y = x + scale · v over `matrix`, the one of index `i` in the layout, in float32. Where v is zero
// by its support, y is left as it is and the result is false. x and y may be the same array.
bool add_piece(const Direction & direction, float scale, const ParameterMatrix & matrix, size_t i,
               const float * x, float * y);

// `count` rows, from row `first`, of v over `matrix`, the one of index `i`; zeros where v is zero
// by its support.
void copy_rows(const Direction & direction, const ParameterMatrix & matrix, size_t i, int64_t first,
               int64_t count, float * out);

// A Failure where a support has no element at all.
[[noreturn]] void refuse_empty(const Support & support);

// θ ← θ + coefficient · direction, pair by pair. What is outside the support is not touched.
template <typename Matrix>
void add_combination(const Combination & combination, const std::vector<Matrix> & matrices,
                     std::vector<float> & values) {
    NamedDirection named{ {}, combination.distribution, combination.support };
    for (const auto & [name, coefficient] : combination.pairs) {
        named.name = name;
        const Direction direction = named;
        for (size_t i = 0; i < matrices.size(); i++) {
            float * piece = values.data() + matrices[i].offset;
            add_piece(direction, coefficient, matrices[i], i, piece, piece);
        }
    }
}

}  // namespace fwdllm
