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

#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace fwdllm {

// What the directions of a prober have in common.
struct Moving {
    Support support;
    int64_t first_layer;  // they move nothing below it
};

// Measures slopes on one batch, several directions in each pass.
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

    // Of the passes that were run.
    Coverage coverage() const;
    // Run so far. A tangent counts as one pass more.
    int passes() const { return passes_; }

  private:
    int64_t peak_bytes(int at_once) const;
    void choose(std::optional<int> at_once, int most);
    ForwardPass & forward_pass(int slots);
    TangentPass & tangent_pass(int directions);
    std::vector<double> losses(const std::vector<Direction> & directions, double scale);
    double base_loss();

    const Workplace & at_;
    const Measuring & measuring_;
    const Moving moving_;
    const Batch batch_;
    const Start start_;
    int at_once_ = 1;
    int64_t predicted_bytes_ = 0;
    std::unique_ptr<LoraSlots> lora_;
    std::map<int, std::unique_ptr<ForwardPass>> forward_;  // by slots
    std::unique_ptr<TangentPass> tangent_;                 // the last one asked for
    std::optional<double> base_loss_;
    int passes_ = 0;
};

}  // namespace fwdllm
