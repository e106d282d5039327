#include "estimator.h"

#include "failure.h"

#include <algorithm>

namespace fwdllm {

// The lowest layer whose LoRA moves; everything below is the same for all directions.
static int64_t lowest_moving_layer(const Adapter & adapter, const Probing & probing) {
    int64_t lowest = -1;
    for (const LoraMatrix & matrix : adapter.matrices()) {
        const bool moves = !probing.layers || (matrix.layer >= probing.layers->first &&
                                               matrix.layer <= probing.layers->second);
        if (moves && (lowest < 0 || matrix.layer < lowest)) lowest = matrix.layer;
    }
    if (lowest < 0) {
        throw Failure("no layer from " + std::to_string(probing.layers->first) + " to " +
                      std::to_string(probing.layers->second) + " is adapted");
    }
    return lowest;
}

Prober::Prober(const Model & model, const Adapter & adapter, const Cpu & cpu,
               const std::vector<Example> & examples, const std::vector<int32_t> & label_tokens,
               const Probing & probing)
    : model_(model), adapter_(adapter), cpu_(cpu), label_tokens_(label_tokens), probing_(probing),
      batch_(pack_batch(examples, probing.batch)),
      lora_(model, adapter, probing.directions_per_pass),
      first_perturbed_(lowest_moving_layer(adapter, probing)) {}

ForwardPass & Prober::pass(int slots) {
    std::unique_ptr<ForwardPass> & pass = by_slots_[slots];
    if (!pass) {
        pass = std::make_unique<ForwardPass>(model_, lora_, cpu_, batch_, label_tokens_, slots,
                                             first_perturbed_);
    }
    return *pass;
}

// The losses at θ + scale · v for the directions of `seeds`, in one pass.
std::vector<double> Prober::losses(const std::vector<uint64_t> & seeds, double scale) {
    for (size_t slot = 0; slot < seeds.size(); slot++) {
        lora_.write(int(slot), Perturbation{ seeds[slot], probing_.distribution, float(scale),
                                             probing_.layers });
    }
    ForwardPass & forward = pass(int(seeds.size()));
    forward.run();
    passes_++;
    std::vector<double> values;
    for (size_t slot = 0; slot < seeds.size(); slot++) values.push_back(forward.mean_loss(int(slot)));
    return values;
}

double Prober::base_loss() {
    if (!base_known_) {
        lora_.write(0, std::nullopt);
        ForwardPass & forward = pass(1);
        forward.run();
        passes_++;
        base_loss_ = forward.mean_loss(0);
        base_known_ = true;
    }
    return base_loss_;
}

std::vector<Probe> Prober::measure(const std::vector<uint64_t> & seeds) {
    const double epsilon = probing_.epsilon;
    std::vector<Probe> probes;
    if (probing_.estimator == Estimator::central) {
        const std::vector<double> plus = losses(seeds, epsilon);
        const std::vector<double> minus = losses(seeds, -epsilon);
        for (size_t i = 0; i < seeds.size(); i++) {
            probes.push_back(
                { seeds[i], (plus[i] - minus[i]) / (2 * epsilon), plus[i], minus[i] });
        }
    } else {
        const double base = base_loss();
        const std::vector<double> plus = losses(seeds, epsilon);
        for (size_t i = 0; i < seeds.size(); i++) {
            probes.push_back({ seeds[i], (plus[i] - base) / epsilon, plus[i], base });
        }
    }
    return probes;
}

}  // namespace fwdllm
