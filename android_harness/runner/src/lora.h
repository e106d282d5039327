// The LoRA adapter: its layout (the order of its tensors is the order of the flat vector), its
// values, and the tensors in which several perturbed copies of them enter a forward pass.
#pragma once

#include "cpu.h"
#include "directions.h"
#include "model.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fwdllm {

// One A (rank × inputs) or B (outputs × rank) matrix inside the flat vector, row-major, with the
// row order of PEFT.
struct LoraMatrix {
    int64_t layer;
    Module module;
    bool is_b;
    int64_t rows;
    int64_t columns;
    size_t offset;      // parameters before it
    int64_t head_size;  // > 0: its rows are in another order in ggml, see ggml_row_of
    size_t size() const { return size_t(rows * columns); }
};

// Rotary embeddings pair row j of a head with row j + head_size/2 in Hugging Face's order and
// rows 2j with 2j + 1 in the order of GGUF's llama architecture: where PEFT row `row` lies there.
int64_t ggml_row_of(int64_t row, int64_t head_size);

using LayerRange = std::pair<int64_t, int64_t>;  // inclusive

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
    // θ ← θ + coefficient · (Rademacher direction of `seed`).
    void update(uint64_t seed, float coefficient);

  private:
    std::vector<LoraMatrix> matrices_;
    std::vector<float> values_;
    int64_t rank_ = 0;
    float scale_ = 0;
};

// The direction of a probe as it is written into a slot: scale · v inside the layers, 0 outside.
struct Perturbation {
    uint64_t seed;
    Distribution distribution;
    float scale;
    std::optional<LayerRange> layers;
};

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
    float scale() const { return adapter_.scale(); }
    const Pair & pair(int64_t layer, Module module) const;

    // Writes θ, or θ moved by a perturbation, into a slot. θ itself never changes.
    void write(int slot, const std::optional<Perturbation> & perturbation);

  private:
    const Adapter & adapter_;
    int slots_;
    std::vector<std::array<Pair, k_modules>> pairs_;  // by layer
    ContextHandle context_;
    BufferHandle buffer_;
    std::vector<float> moved_;  // one matrix, in PEFT row order
};

}  // namespace fwdllm
