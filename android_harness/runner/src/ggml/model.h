// A LLaMA-class decoder from a GGUF file: its shapes and its weights in ggml buffers.
#pragma once

#include "device.h"
#include "gguf_file.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

// The linear layers of a block, in the order of the flat LoRA vector.
enum Module { k_q, k_k, k_v, k_o, k_gate, k_up, k_down, k_modules };
extern const std::array<const char *, k_modules> k_module_names;  // GGUF: attn_q, attn_k, ...

struct Shapes {
    std::string architecture;  // llama (interleaved rotary pairs) or qwen2 (half-split)
    int64_t layers;
    int64_t width;  // of the residual stream
    int64_t feed_forward;
    int64_t heads;
    int64_t key_value_heads;
    int64_t head_size;
    int64_t vocabulary;
    int64_t context;  // longest sequence, also bounded by a sliding window
    float norm_epsilon;
    int rope_mode;  // ggml's GGML_ROPE_TYPE_NORMAL or GGML_ROPE_TYPE_NEOX
    float rope_base;
    float rope_scale;  // of positions: 1 / factor of linear scaling

    int64_t inputs(Module module) const;
    int64_t outputs(Module module) const;
};

struct Linear {
    ggml_tensor * weight = nullptr;
    ggml_tensor * bias = nullptr;  // nullptr: none
};

struct Layer {
    ggml_tensor * attention_norm = nullptr;
    ggml_tensor * feed_forward_norm = nullptr;
    std::array<Linear, k_modules> linear;
};

class Model {
  public:
    // `labels`: tokens whose rows alone make the output matrix, in float32; empty: all rows, as
    // they are in the file.
    // Weights that would take more than `memory_bytes` are a Failure before any is loaded.
    Model(const std::string & path, const Device & device, const std::vector<int32_t> & labels,
          std::optional<size_t> memory_bytes);

    const Shapes & shapes() const { return shapes_; }
    const std::vector<Layer> & layers() const { return layers_; }
    ggml_tensor * output_norm() const { return output_norm_; }
    ggml_tensor * output() const { return output_; }  // [width, vocabulary or labels]
    ggml_tensor * rope_factors() const { return rope_factors_; }  // nullptr: none
    size_t weight_bytes() const;

    // The embeddings of `tokens`, float32 [width] each. They are read from the file: a batch
    // needs a few rows of a table that would otherwise take its share of memory beside the
    // (repacked, hence not row-addressable) output matrix it is often tied to.
    void embed(const std::vector<int32_t> & tokens, float * out) const;

  private:
    struct Wanted;
    void load(const Device & device, std::vector<Wanted> & wanted,
              std::optional<size_t> memory_bytes);
    void load_output_rows(const Device & device, const TensorInfo & matrix,
                          const std::vector<int32_t> & tokens);
    void read_rows(const TensorInfo & matrix, const std::vector<int32_t> & rows, float * out) const;

    GgufFile file_;
    Shapes shapes_;
    std::vector<Layer> layers_;
    ggml_tensor * output_norm_ = nullptr;
    ggml_tensor * output_ = nullptr;
    ggml_tensor * rope_factors_ = nullptr;
    const TensorInfo * embedding_ = nullptr;
    std::vector<ContextHandle> contexts_;
    std::vector<BufferHandle> buffers_;
};

}  // namespace fwdllm
