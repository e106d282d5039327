// The LoRA adapter: its layout (the order of its tensors is the order of the flat vector), its
// values, and the tensors in which several perturbed copies of them enter a forward pass.
#pragma once

#include "cpu.h"
#include "model.h"
#include "parameter_matrix.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fwdllm {

// A matrix of the flat vector with its place in the model.
struct LoraMatrix : ParameterMatrix {
    Module module;
    int64_t head_size;  // > 0: its rows are in another order in ggml, see ggml_row_of
};

// Rotary embeddings pair row j of a head with row j + head_size/2 in Hugging Face's order and
// rows 2j with 2j + 1 in the order of GGUF's llama architecture: where PEFT row `row` lies there.
int64_t ggml_row_of(int64_t row, int64_t head_size);

class Adapter {
  public:
    // Reads the layout and the values of a llama.cpp LoRA file and checks that it fits the model.
    Adapter(const std::string & path, const Model & model);

    const std::vector<LoraMatrix> & matrices() const { return matrices_; }
    size_t parameters() const { return values_.size(); }
    int64_t rank() const { return rank_; }
    float scale() const { return scale_; }  // alpha / rank, the factor before B·A

    const std::vector<float> & values() const { return values_; }
    // Replaces all values by a file of raw little-endian float32.
    void read_values(const std::string & path);
    // θ ← θ + coefficient · direction, pair by pair. What is outside the support is not touched.
    void update(const Combination & combination);

  private:
    std::vector<LoraMatrix> matrices_;
    std::vector<float> values_;
    int64_t rank_ = 0;
    float scale_ = 0;
};

// The lowest layer in which a direction has elements other than zero. A support without any is a
// Failure.
int64_t lowest_moving_layer(const Adapter & adapter, const Support & support);
int64_t lowest_moving_layer(const Adapter & adapter, const GivenDirection & direction);

// A and B of every adapted linear layer for `slots` perturbed copies of the adapter:
// A [inputs, rank, slots], B [rank, outputs, slots] in ggml's notation, float32.
class LoraSlots {
  public:
    struct Pair {
        ggml_tensor * a = nullptr;  // nullptr: this linear layer has no LoRA
        ggml_tensor * b = nullptr;
    };

    LoraSlots(const Model & model, const Adapter & adapter, int slots);

    int slots() const { return slots_; }
    size_t bytes() const { return ggml_backend_buffer_get_size(buffer_.get()); }
    float scale() const { return adapter_.scale(); }
    const Pair & pair(int64_t layer, Module module) const;

    // Writes θ into a slot.
    void write(int slot) { write(slot, nullptr, 0); }
    // Writes θ + scale · direction into a slot. θ itself never changes.
    void write(int slot, const Direction & direction, float scale) { write(slot, &direction, scale); }

  private:
    void write(int slot, const Direction * direction, float scale);

    const Adapter & adapter_;
    int slots_;
    std::vector<std::array<Pair, k_modules>> pairs_;  // by layer
    ContextHandle context_;
    BufferHandle buffer_;
    std::vector<float> moved_;  // one matrix, in PEFT row order
};

}  // namespace fwdllm
