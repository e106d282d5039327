#include "estimator.h"

#include "failure.h"

namespace fwdllm {

int64_t lowest_moving_layer(const Adapter & adapter, const Support & support) {
    int64_t lowest = -1;
    for (const LoraMatrix & matrix : adapter.matrices()) {
        const bool moves = support.contains(matrix.layer, matrix.is_b);
        if (moves && (lowest < 0 || matrix.layer < lowest)) lowest = matrix.layer;
    }
    if (lowest < 0) {
        throw Failure("no layer from " + std::to_string(support.layers->first) + " to " +
                      std::to_string(support.layers->second) + " is adapted");
    }
    return lowest;
}

Prober::Prober(const Model & model, const Adapter & adapter, const Cpu & cpu,
               const std::vector<Example> & examples, const Labels & labels,
               const Measuring & measuring, int slots, int64_t first_perturbed)
    : model_(model), cpu_(cpu), labels_(labels), measuring_(measuring),
      batch_(pack_batch(examples, measuring.batch)), lora_(model, adapter, slots),
      first_perturbed_(first_perturbed) {}

ForwardPass & Prober::pass(int slots) {
    std::unique_ptr<ForwardPass> & pass = by_slots_[slots];
    if (!pass) {
        pass = std::make_unique<ForwardPass>(model_, lora_, cpu_, batch_, labels_, slots,
                                             first_perturbed_);
    }
    return *pass;
}

// The losses at θ + scale · v for each direction v, in one pass.
std::vector<double> Prober::losses(const std::vector<Direction> & directions, double scale) {
    for (size_t slot = 0; slot < directions.size(); slot++) {
        lora_.write(int(slot), directions[slot], float(scale));
    }
    ForwardPass & forward = pass(int(directions.size()));
    forward.run();
    passes_++;
    std::vector<double> values;
    for (size_t slot = 0; slot < directions.size(); slot++) {
        values.push_back(forward.mean_loss(int(slot)));
    }
    return values;
}

double Prober::base_loss() {
    if (!base_known_) {
        lora_.write(0);
        ForwardPass & forward = pass(1);
        forward.run();
        passes_++;
        base_loss_ = forward.mean_loss(0);
        base_known_ = true;
    }
    return base_loss_;
}

std::vector<Slope> Prober::measure(const std::vector<Direction> & directions) {
    const double epsilon = measuring_.epsilon;
    std::vector<Slope> slopes;
    if (measuring_.estimator == Estimator::central) {
        const std::vector<double> plus = losses(directions, epsilon);
        const std::vector<double> minus = losses(directions, -epsilon);
        for (size_t i = 0; i < directions.size(); i++) {
            slopes.push_back({ (plus[i] - minus[i]) / (2 * epsilon), plus[i], minus[i] });
        }
    } else {
        const double base = base_loss();
        for (double plus : losses(directions, epsilon)) {
            slopes.push_back({ (plus - base) / epsilon, plus, base });
        }
    }
    return slopes;
}

}  // namespace fwdllm
