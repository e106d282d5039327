// The LoRA values of a bundle, and perturbed copies of them as a program's inputs.
#pragma once

#include "job.h"
#include "parameter_matrix.h"

#include <string>
#include <vector>

namespace fwdllm {

class Lora {
  public:
    // The values of a file of raw little-endian float32 in the order of `matrices`.
    Lora(const std::string & path, std::vector<ParameterMatrix> matrices, size_t parameters);

    const std::vector<ParameterMatrix> & matrices() const { return matrices_; }
    size_t parameters() const { return values_.size(); }

    const std::vector<float> & values() const { return values_; }
    // Replaces all values by a file's.
    void read_values(const std::string & path);
    // θ ← θ + coefficient · direction, pair by pair.
    void update(const Combination & combination);

    // A Failure where the directions of a task would move nothing.
    void check(const Support & support) const;

    // Writes θ + scale · direction, or the direction alone, to `out`, which has room for all
    // parameters. θ itself never changes.
    void write_moved(const Direction & direction, float scale, float * out) const;
    void write_direction(const Direction & direction, float * out) const;

  private:
    std::vector<ParameterMatrix> matrices_;
    std::vector<float> values_;
};

}  // namespace fwdllm
