// One pass that gives the loss of a batch and its exact derivative along several directions.
#pragma once

#include "batch_inputs.h"
#include "direction_pieces.h"
#include "graph.h"
#include "lora.h"
#include "loss.h"
#include "model.h"
#include "start.h"
#include "tangent_rules.h"

#include <vector>

namespace fwdllm {

// Forward-mode differentiation, layer by layer: a layer's primal states are computed once, then
// the tangents of all directions go through that layer, a few at a time, before the next layer
// begins. A tangent is multiplied by the same quantized weights as its primal.
//
// So the activations of one layer and the residual stream of each direction are all that is in
// memory, and the primal is not computed again however many directions there are.
class TangentPass {
  public:
    // `moves` is the support that all directions share. `lora` has θ in its slot 0. With `refine`
    // products with quantized weights see the primal's columns to 16 bits instead of 8, for the
    // price of one more pass; those of the tangents stay at 8.
    TangentPass(const Device & device, const Model & model, const Adapter & adapter,
                const LoraSlots & lora, const Batch & batch, const Labels & labels,
                const Start & start, const Support & moves, int directions, bool refine);
    TangentPass(const TangentPass &) = delete;
    TangentPass & operator=(const TangentPass &) = delete;

    int directions() const { return directions_in_pass_; }
    size_t bytes() const { return graph_.bytes() + inputs_.bytes(); }
    void allocate() { graph_.allocate(); }
    // As many directions as the pass was made for.
    void run(std::vector<Direction> directions);
    Coverage coverage() const { return graph_.coverage(); }

    // Of the last run, in nats and nats per unit of direction; what is not finite is a Failure.
    double mean_loss() const;
    std::vector<double> slopes() const;

  private:
    struct Builder;
    struct LossTangents {  // float64 [directions · columns]
        int first, directions;
        ggml_tensor * values;
    };

    const size_t positions_;
    const int directions_in_pass_;
    const int at_once_;  // tangents that go through a layer together
    const BatchInputs inputs_;
    Graph graph_;
    std::vector<Direction> directions_;
    std::vector<ggml_tensor *> losses_;
    std::vector<LossTangents> loss_tangents_;
};

}  // namespace fwdllm
