// What a pass reads of its batch, as tensors: the same for every column block of `copies`.
#pragma once

#include "cpu.h"
#include "examples.h"
#include "loss.h"
#include "model.h"
#include "start.h"

#include <map>

namespace fwdllm {

// Columns. A pass works on matrices [width, columns] with one column per token and copy, copy by
// copy: column = copy · tokens + packed position. A copy is a perturbed LoRA, or a tangent.
struct BatchInputs {
    BatchInputs(const Model & model, const Batch & batch, const Labels & labels,
                const Start & start, int64_t copies);

    const int64_t tokens;     // of one copy
    const int64_t loss_rows;  // of one copy

    ggml_tensor * states;     // float32 [width, tokens]
    ggml_tensor * positions;  // int32 [copies · tokens]
    ggml_tensor * rows;       // int32 [copies · loss_rows]: columns that have a target
    ggml_tensor * targets;    // int32 [copies · loss_rows]: rows of the model's output matrix
    ggml_tensor * shifts;     // float32 [labels], added to the logits; nullptr: none
    std::map<int64_t, ggml_tensor *> masks;  // causal, by length: float16 [length, length]

    size_t bytes() const { return ggml_backend_buffer_get_size(buffer_.get()); }

  private:
    ContextHandle context_;
    BufferHandle buffer_;
};

}  // namespace fwdllm
