// One forward pass: the loss of a batch under several perturbed copies of the adapter at once.
#pragma once

#include "cpu.h"
#include "examples.h"
#include "lora.h"
#include "loss.h"
#include "model.h"

#include <cstdint>
#include <vector>

#include "ggml-alloc.h"

namespace fwdllm {

// The graph of a pass is built once for a batch and a number of slots, and run as often as the
// LoRA slots change. Its activations take memory from construction to destruction.
//
// Columns. A pass works on matrices [width, columns] with one column per token and slot, slot by
// slot: column = slot · tokens + packed position. The frozen weights multiply all columns at once,
// which reads them once for all slots; only the LoRA branch distinguishes the slots.
//
// Layers below `first_perturbed` see the same LoRA values in every slot: they run for one slot,
// whose result is repeated.
class ForwardPass {
  public:
    ForwardPass(const Model & model, const LoraSlots & lora, const Cpu & cpu, const Batch & batch,
                const Labels & labels, int slots, int64_t first_perturbed);
    ForwardPass(const ForwardPass &) = delete;
    ForwardPass & operator=(const ForwardPass &) = delete;

    void run();

    // Of the last run. Losses in nats; a loss that is not finite is a Failure.
    double summed_loss(int slot) const;
    double mean_loss(int slot) const { return summed_loss(slot) / double(batch_.targets.size()); }
    size_t positions() const { return batch_.targets.size(); }
    // The predicted token of each loss position in slot 0, in the order the batch was given in.
    std::vector<int32_t> predictions() const;

  private:
    struct Builder;

    const Cpu & cpu_;
    const Batch batch_;
    const Labels labels_;
    const int slots_;
    ContextHandle inputs_;         // token embeddings, positions, masks, rows, targets
    BufferHandle input_buffer_;
    ContextHandle graph_context_;
    ggml_cgraph * graph_ = nullptr;
    std::vector<ggml_tensor *> results_;  // float64 [2, columns of a chunk]: nats, predicted token
    Handle<ggml_gallocr_t, ggml_gallocr_free> activations_;
};

}  // namespace fwdllm
