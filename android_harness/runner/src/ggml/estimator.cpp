#include "estimator.h"

#include "failure.h"
#include "memory.h"

#include <algorithm>

namespace fwdllm {

// Without a budget. Of tangents, eight cost nine passes and 64 hardly less for each; copies of the
// LoRA gain little from sharing a pass.
static const int k_tangents = 8, k_copies = 1;
// With a budget: more would save less than one part in a hundred.
static const int k_most = 64;

Prober::Prober(const Workplace & at, const Measuring & measuring, const Moving & moving,
               std::optional<int> at_once, int most)
    : at_(at), measuring_(measuring), moving_(moving),
      batch_(pack_batch(at.examples, measuring.batch)),
      start_(at.prefix.start(batch_, moving.first_layer)) {
    choose(at_once, most);
    lora_ = std::make_unique<LoraSlots>(
        at.model, at.adapter, measuring.estimator == Estimator::tangent ? 1 : at_once_);
    lora_->write(0);
}

// What the process will hold with so many directions in a pass: what it holds now, and the pass.
int64_t Prober::peak_bytes(int at_once) const {
    const bool tangent = measuring_.estimator == Estimator::tangent;
    const LoraSlots lora(at_.model, at_.adapter, tangent ? 1 : at_once);
    const size_t bytes =
        tangent ? TangentPass(at_.device, at_.model, at_.adapter, lora, batch_, at_.labels, start_,
                              moving_.support, at_once, measuring_.refine)
                      .bytes()
                : ForwardPass(at_.device, at_.model, lora, batch_, at_.labels, start_, at_once).bytes();
    return read_memory().resident_bytes() + int64_t(lora.bytes() + bytes);
}

void Prober::choose(std::optional<int> at_once, int most) {
    const bool tangent = measuring_.estimator == Estimator::tangent;
    const auto fits = [&](int n) { return peak_bytes(n) <= int64_t(*at_.memory_bytes); };
    if (at_once) {
        at_once_ = std::min(*at_once, most);
    } else if (!at_.memory_bytes) {
        at_once_ = std::min(tangent ? k_tangents : k_copies, most);
    } else {
        int low = 1, high = std::min(k_most, most);  // the answer is low, if that fits
        while (low < high) {
            const int middle = (low + high + 1) / 2;
            if (fits(middle)) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        at_once_ = low;
    }
    predicted_bytes_ = peak_bytes(at_once_);
    if (at_.memory_bytes && predicted_bytes_ > int64_t(*at_.memory_bytes)) {
        throw Failure(std::to_string(at_once_) + " directions at once need " +
                      std::to_string(predicted_bytes_) + " bytes, the job may take " +
                      std::to_string(*at_.memory_bytes) +
                      (at_once_ > 1 ? "; ask for fewer directions_per_pass"
                                    : "; ask for a smaller batch"));
    }
}

ForwardPass & Prober::forward_pass(int slots) {
    std::unique_ptr<ForwardPass> & pass = forward_[slots];
    if (!pass) {
        pass = std::make_unique<ForwardPass>(at_.device, at_.model, *lora_, batch_, at_.labels,
                                             start_, slots);
        pass->allocate();
    }
    return *pass;
}

TangentPass & Prober::tangent_pass(int directions) {
    if (!tangent_ || tangent_->directions() != directions) {
        tangent_.reset();  // one at a time: their activations are what fills the memory
        tangent_ = std::make_unique<TangentPass>(at_.device, at_.model, at_.adapter, *lora_,
                                                 batch_, at_.labels, start_, moving_.support,
                                                 directions, measuring_.refine);
        tangent_->allocate();
    }
    return *tangent_;
}

Coverage Prober::coverage() const {
    if (tangent_) return tangent_->coverage();
    for (const auto & [slots, pass] : forward_) return pass->coverage();
    return {};
}

// The losses at θ + scale · v for each direction v, in one pass.
std::vector<double> Prober::losses(const std::vector<Direction> & directions, double scale) {
    for (size_t slot = 0; slot < directions.size(); slot++) {
        lora_->write(int(slot), directions[slot], float(scale));
    }
    ForwardPass & pass = forward_pass(int(directions.size()));
    pass.run();
    passes_++;
    std::vector<double> values;
    for (size_t slot = 0; slot < directions.size(); slot++) {
        values.push_back(pass.mean_loss(int(slot)));
    }
    return values;
}

double Prober::base_loss() {
    if (!base_loss_) {
        lora_->write(0);
        ForwardPass & pass = forward_pass(1);
        pass.run();
        passes_++;
        base_loss_ = pass.mean_loss(0);
    }
    return *base_loss_;
}

std::vector<Slope> Prober::measure(const std::vector<Direction> & directions) {
    const double epsilon = measuring_.epsilon;
    std::vector<Slope> slopes;
    switch (measuring_.estimator) {
        case Estimator::central: {
            const std::vector<double> plus = losses(directions, epsilon);
            const std::vector<double> minus = losses(directions, -epsilon);
            for (size_t i = 0; i < directions.size(); i++) {
                slopes.push_back({ (plus[i] - minus[i]) / (2 * epsilon), plus[i], minus[i] });
            }
            break;
        }
        case Estimator::forward: {
            const double base = base_loss();
            for (double plus : losses(directions, epsilon)) {
                slopes.push_back({ (plus - base) / epsilon, plus, base });
            }
            break;
        }
        case Estimator::tangent: {
            TangentPass & pass = tangent_pass(int(directions.size()));
            pass.run(directions);
            passes_ += 1 + int(directions.size());
            const double loss = pass.mean_loss();
            for (double value : pass.slopes()) slopes.push_back({ value, loss, loss });
            break;
        }
    }
    return slopes;
}

}  // namespace fwdllm
