#include "parameter_matrix.h"

#include "failure.h"

#include <algorithm>
#include <cstring>

namespace fwdllm {

bool add_piece(const Direction & direction, float scale, const ParameterMatrix & matrix, size_t i,
               const float * x, float * y) {
    if (const GivenDirection * given = std::get_if<GivenDirection>(&direction)) {
        const float * v = given->data() + matrix.offset;
        for (size_t k = 0; k < matrix.size(); k++) y[k] = x[k] + scale * v[k];
        return true;
    }
    const NamedDirection & named = std::get<NamedDirection>(direction);
    if (!named.support.contains(matrix.layer, matrix.is_b)) return false;
    add_direction(seed_of(named.name, i), named.distribution, scale, matrix.offset, matrix.size(),
                  x, y);
    return true;
}

void copy_rows(const Direction & direction, const ParameterMatrix & matrix, size_t i, int64_t first,
               int64_t count, float * out) {
    const size_t elements = size_t(count * matrix.columns);
    const size_t offset = matrix.offset + size_t(first * matrix.columns);
    if (const GivenDirection * given = std::get_if<GivenDirection>(&direction)) {
        memcpy(out, given->data() + offset, elements * sizeof(float));
        return;
    }
    const NamedDirection & named = std::get<NamedDirection>(direction);
    std::fill(out, out + elements, 0.0f);
    if (!named.support.contains(matrix.layer, matrix.is_b)) return;
    add_direction(seed_of(named.name, i), named.distribution, 1.0f, offset, elements, out, out);
}

void refuse_empty(const Support & support) {
    throw Failure("no layer from " + std::to_string(support.layers->first) + " to " +
                  std::to_string(support.layers->second) + " is adapted");
}

}  // namespace fwdllm
