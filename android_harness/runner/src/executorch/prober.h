// Slopes by programs: differences of losses, or the exact ones of a tangent program.
#pragma once

#include "batch_runs.h"
#include "job.h"
#include "slope.h"
#include "workplace.h"

#include <optional>
#include <vector>

namespace fwdllm {

// Measures slopes on one batch.
class Prober {
  public:
    // `most` directions will be asked for together at most. Without `at_once` as many are measured
    // together as one run of the bundle's programs can hold.
    Prober(const Workplace & at, const Measuring & measuring, std::optional<int> at_once, int most);

    int at_once() const { return at_once_; }
    int passes() const { return passes_; }  // runs of programs so far

    // The slopes of up to `at_once` directions. Under `forward` the base loss is measured first
    // if it is not known yet.
    std::vector<Slope> measure(const std::vector<Direction> & directions);

  private:
    struct Copy {
        const Direction * direction;  // nullptr: θ itself
        float scale;
    };
    std::vector<double> losses(const std::vector<Copy> & copies);
    std::vector<Slope> tangents(const std::vector<Direction> & directions);
    double base_loss();

    const Workplace & at_;
    const Measuring & measuring_;
    int at_once_ = 1;
    std::optional<double> base_loss_;
    int passes_ = 0;
};

}  // namespace fwdllm
