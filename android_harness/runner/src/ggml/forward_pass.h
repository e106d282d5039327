// One forward pass: the loss of a batch under several perturbed copies of the adapter at once.
#pragma once

#include "batch_inputs.h"
#include "examples.h"
#include "graph.h"
#include "lora.h"
#include "loss.h"
#include "model.h"
#include "start.h"

#include <cstdint>
#include <vector>

namespace fwdllm {

// The graph of a pass is built once for a batch and a number of slots, and run as often as the
// LoRA slots change. The frozen weights multiply the columns of all slots at once, which reads
// them once; only the LoRA branch distinguishes the slots.
class ForwardPass {
  public:
    ForwardPass(const Device & device, const Model & model, const LoraSlots & lora,
                const Batch & batch, const Labels & labels, const Start & start, int slots);

    // Bytes of activations and inputs, which `allocate` takes and a run needs.
    size_t bytes() const { return graph_.bytes() + inputs_.bytes(); }
    void allocate() { graph_.allocate(); }
    void run() { graph_.run(); }
    Coverage coverage() const { return graph_.coverage(); }

    // Of the last run. Losses in nats; a loss that is not finite is a Failure.
    double summed_loss(int slot) const;
    double mean_loss(int slot) const { return summed_loss(slot) / double(positions()); }
    size_t positions() const { return batch_.targets.size(); }
    // The predicted token of each loss position in slot 0, in the order the batch was given in.
    std::vector<int32_t> predictions() const;

  private:
    const Batch & batch_;
    const Labels & labels_;
    const BatchInputs inputs_;
    Graph graph_;
    std::vector<ggml_tensor *> results_;  // float64 [2, columns of a chunk]: nats, predicted row
};

// The input of layer `end`, above the first, for each token of a batch, θ as it is in slot 0.
std::vector<float> states_below(int64_t end, const Device & device, const Model & model,
                                const LoraSlots & lora, const Batch & batch);

}  // namespace fwdllm
