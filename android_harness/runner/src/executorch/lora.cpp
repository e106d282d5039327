#include "lora.h"

#include "values_file.h"

#include <algorithm>

namespace fwdllm {

Lora::Lora(const std::string & path, std::vector<ParameterMatrix> matrices, size_t parameters)
    : matrices_(std::move(matrices)), values_(fwdllm::read_values(path, parameters)) {}

void Lora::read_values(const std::string & path) {
    values_ = fwdllm::read_values(path, values_.size());
}

void Lora::update(const Combination & combination) {
    add_combination(combination, matrices_, values_);
}

void Lora::check(const Support & support) const {
    for (const ParameterMatrix & matrix : matrices_) {
        if (support.contains(matrix.layer, matrix.is_b)) return;
    }
    refuse_empty(support);
}

void Lora::write_moved(const Direction & direction, float scale, float * out) const {
    std::copy(values_.begin(), values_.end(), out);
    for (size_t i = 0; i < matrices_.size(); i++) {
        float * piece = out + matrices_[i].offset;
        add_piece(direction, scale, matrices_[i], i, piece, piece);
    }
}

void Lora::write_direction(const Direction & direction, float * out) const {
    for (size_t i = 0; i < matrices_.size(); i++) {
        copy_rows(direction, matrices_[i], i, 0, matrices_[i].rows, out + matrices_[i].offset);
    }
}

}  // namespace fwdllm
