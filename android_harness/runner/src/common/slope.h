// A directional derivative of a batch's mean loss, with the losses that it came from.
#pragma once

namespace fwdllm {

struct Slope {
    double value;
    double loss_plus;   // at θ + εv; tangent: at θ
    double loss_minus;  // central: at θ − εv; forward and tangent: at θ
};

}  // namespace fwdllm
