// Slopes: the loss's derivative along directions, by differences of losses.
#pragma once

#include "cpu.h"
#include "examples.h"
#include "forward_pass.h"
#include "job.h"
#include "lora.h"

#include <map>
#include <memory>
#include <vector>

namespace fwdllm {

struct Slope {
    double value;
    double loss_plus;
    double loss_minus;  // central: at θ − εv; forward: at θ
};

// The lowest layer in which a support has parameters of the adapter.
int64_t lowest_moving_layer(const Adapter & adapter, const Support & support);

// Measures slopes on one batch, up to `slots` directions in each forward pass. The directions move
// nothing below `first_perturbed`.
class Prober {
  public:
    Prober(const Model & model, const Adapter & adapter, const Cpu & cpu,
           const std::vector<Example> & examples, const Labels & labels,
           const Measuring & measuring, int slots, int64_t first_perturbed);

    // The slopes of up to `slots` directions. Under `forward` the base loss is measured first if
    // it is not known yet.
    std::vector<Slope> measure(const std::vector<Direction> & directions);

    int passes() const { return passes_; }  // run so far

  private:
    ForwardPass & pass(int slots);
    std::vector<double> losses(const std::vector<Direction> & directions, double scale);
    double base_loss();

    const Model & model_;
    const Cpu & cpu_;
    const Labels & labels_;
    const Measuring & measuring_;
    const Batch batch_;
    LoraSlots lora_;
    int64_t first_perturbed_;
    std::map<int, std::unique_ptr<ForwardPass>> by_slots_;
    bool base_known_ = false;
    double base_loss_ = 0;
    int passes_ = 0;
};

}  // namespace fwdllm
