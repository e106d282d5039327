// Slopes: the loss's derivative along random directions, by differences of losses.
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

struct Probe {
    uint64_t seed;
    double slope;
    double loss_plus;
    double loss_minus;  // central: at θ − εv; forward: at θ
};

// Measures slopes on one batch, `directions_per_pass` directions in each forward pass.
class Prober {
  public:
    Prober(const Model & model, const Adapter & adapter, const Cpu & cpu,
           const std::vector<Example> & examples, const std::vector<int32_t> & label_tokens,
           const Probing & probing);

    // The slopes of up to `directions_per_pass` directions. Under `forward` the base loss is
    // measured first if it is not known yet.
    std::vector<Probe> measure(const std::vector<uint64_t> & seeds);

    int passes() const { return passes_; }  // run so far

  private:
    ForwardPass & pass(int slots);
    std::vector<double> losses(const std::vector<uint64_t> & seeds, double scale);
    double base_loss();

    const Model & model_;
    const Adapter & adapter_;
    const Cpu & cpu_;
    const std::vector<int32_t> & label_tokens_;
    const Probing & probing_;
    const Batch batch_;
    LoraSlots lora_;
    int64_t first_perturbed_;
    std::map<int, std::unique_ptr<ForwardPass>> by_slots_;
    bool base_known_ = false;
    double base_loss_ = 0;
    int passes_ = 0;
};

}  // namespace fwdllm
