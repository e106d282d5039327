// Slopes: the loss's derivative along directions, exact or by differences of losses.
#pragma once

#include "examples.h"
#include "forward_pass.h"
#include "job.h"
#include "lora.h"
#include "slope.h"
#include "start.h"
#include "tangent_pass.h"
#include "workplace.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace fwdllm {

// What the directions of a prober have in common.
struct Moving {
    Support support;
    int64_t first_layer;  // they move nothing below it
};

// Measures slopes on one batch, several directions in each pass.
//
// Where the workplace's memory is bounded, the batch may go through the model in parts, whose
// losses and slopes are summed by their shares of the targets.
class Prober {
  public:
    // `most` directions will be asked for together at most. How many share a pass is `at_once`, or
    // as many as the workplace's memory allows; a Failure where not even those fit.
    Prober(const Workplace & at, const Measuring & measuring, const Moving & moving,
           std::optional<int> at_once, int most);

    int at_once() const { return at_once_; }
    int64_t predicted_bytes() const { return predicted_bytes_; }  // of the process at its peak

    // The slopes of up to `at_once` directions. Under `forward` the base loss is measured first
    // if it is not known yet.
    std::vector<Slope> measure(const std::vector<Direction> & directions);

    // Of the last pass.
    Coverage coverage() const;
    // Over the whole batch, so far. A tangent counts as one pass more.
    int passes() const { return passes_; }

  private:
    // Some examples of the batch, neighbours in its packed order.
    struct Part {
        Batch batch;
        Start start;
        double share;  // of the batch's targets
    };

    std::vector<Part> parts_of(size_t most_tokens) const;
    int64_t peak_bytes(const std::vector<Part> & parts, int at_once) const;
    int most_that_fit(const std::vector<Part> & parts, int most) const;
    void choose_within(size_t memory_bytes, std::optional<int> at_once, int most);
    ForwardPass & forward_pass(size_t part, int slots);
    TangentPass & tangent_pass(size_t part, int directions);
    std::vector<double> losses(int slots);
    std::vector<double> losses(const std::vector<Direction> & directions, double scale);
    std::vector<Slope> tangents(const std::vector<Direction> & directions);
    double base_loss();

    const Workplace & at_;
    const Measuring & measuring_;
    const Moving moving_;
    const Batch batch_;
    Start start_;  // of the whole batch, until its parts are chosen
    int at_once_ = 1;
    int64_t predicted_bytes_ = 0;
    std::vector<Part> parts_;
    std::unique_ptr<LoraSlots> lora_;
    // The last pass asked for, and its part and slots or directions. One at a time: activations
    // are what fills the memory.
    std::unique_ptr<ForwardPass> forward_;
    std::unique_ptr<TangentPass> tangent_;
    std::pair<size_t, int> pass_of_;
    std::optional<double> base_loss_;
    int passes_ = 0;
};

}  // namespace fwdllm
