#include "estimator.h"

#include "failure.h"
#include "memory.h"

#include <algorithm>
#include <cstddef>

namespace fwdllm {

// Without a budget. Of tangents, eight cost nine passes and 64 hardly less for each; copies of the
// LoRA gain little from sharing a pass.
static const int k_tangents = 8, k_copies = 1;
// With a budget: more would save less than one part in a hundred.
static const int k_most = 64;
// Products with as many columns gain nothing from more.
static const size_t k_enough_columns = 256;

Prober::Prober(const Workplace & at, const Measuring & measuring, const Moving & moving,
               std::optional<int> at_once, int most)
    : at_(at), measuring_(measuring), moving_(moving),
      batch_(pack_batch(at.examples, measuring.batch)),
      start_(at.prefix.start(batch_, moving.first_layer)) {
    const bool tangent = measuring.estimator == Estimator::tangent;
    if (at.memory_bytes) {
        choose_within(*at.memory_bytes, at_once, most);
    } else {
        at_once_ = std::min(at_once.value_or(tangent ? k_tangents : k_copies), most);
        parts_ = parts_of(batch_.tokens.size());
    }
    start_.states = {};  // the parts have them
    predicted_bytes_ = peak_bytes(parts_, at_once_);
    lora_ = std::make_unique<LoraSlots>(at.model, at.adapter, tangent ? 1 : at_once_);
    lora_->write(0);
}

// Memory -------------------------------------------------------------------------------------

// The batch in parts of at most so many tokens, or of one example. Those without a target are left
// out.
std::vector<Prober::Part> Prober::parts_of(size_t most_tokens) const {
    const size_t width = size_t(at_.model.shapes().width);
    const auto tokens_of = [&](int64_t line) { return at_.examples[size_t(line)].tokens.size(); };
    std::vector<Part> parts;
    auto states = start_.states.begin();
    for (size_t first = 0; first < batch_.lines.size();) {
        std::vector<int64_t> lines;
        size_t tokens = 0;
        while (first < batch_.lines.size() &&
               (lines.empty() || tokens + tokens_of(batch_.lines[first]) <= most_tokens)) {
            tokens += tokens_of(batch_.lines[first]);
            lines.push_back(batch_.lines[first++]);
        }
        const auto end = states + std::ptrdiff_t(tokens * width);
        Batch batch = pack_examples(at_.examples, lines);
        if (!batch.targets.empty()) {
            const double share = double(batch.targets.size()) / double(batch_.targets.size());
            parts.push_back({ std::move(batch), { start_.layer, { states, end } }, share });
        }
        states = end;
    }
    return parts;
}

// What the process will hold with so many directions in a pass: what it holds now, and the pass
// over the part that needs most.
int64_t Prober::peak_bytes(const std::vector<Part> & parts, int at_once) const {
    const bool tangent = measuring_.estimator == Estimator::tangent;
    const LoraSlots lora(at_.model, at_.adapter, tangent ? 1 : at_once);
    size_t most = 0;
    for (const Part & part : parts) {
        const size_t bytes =
            tangent ? TangentPass(at_.device, at_.model, at_.adapter, lora, part.batch, at_.labels,
                                  part.start, moving_.support, at_once, measuring_.refine)
                          .bytes()
                    : ForwardPass(at_.device, at_.model, lora, part.batch, at_.labels, part.start,
                                  at_once)
                          .bytes();
        most = std::max(most, bytes);
    }
    return read_memory().resident_bytes() + int64_t(lora.bytes() + most);
}

// As many of up to `most` directions as fit into a pass together; 1 where not even one fits.
int Prober::most_that_fit(const std::vector<Part> & parts, int most) const {
    int low = 1, high = most;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (peak_bytes(parts, middle) <= int64_t(*at_.memory_bytes)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

// Parts cost next to nothing as long as a product has columns enough, fewer directions in a pass
// cost passes: so the batch is parted first, then directions give way, then parts get smaller.
void Prober::choose_within(size_t memory_bytes, std::optional<int> at_once, int most) {
    const bool tangent = measuring_.estimator == Estimator::tangent;
    const int wanted = std::min(at_once.value_or(tangent ? k_tangents : k_copies), most);
    int64_t least = 0;
    for (size_t tokens = batch_.tokens.size();; tokens = std::min(tokens / 2, k_enough_columns)) {
        parts_ = parts_of(tokens);
        at_once_ = at_once ? wanted : most_that_fit(parts_, std::min(k_most, most));
        least = peak_bytes(parts_, at_once_);
        const bool smallest = parts_.size() == batch_.lines.size() || tokens == 1;
        const bool fits = least <= int64_t(memory_bytes);
        if (fits && (at_once_ >= wanted || tokens <= k_enough_columns)) return;
        if (smallest && fits) return;
        if (smallest) break;
    }
    throw Failure(std::to_string(at_once_) + " directions at once need " + std::to_string(least) +
                  " bytes, the job may take " + std::to_string(memory_bytes) +
                  (at_once_ > 1 ? "; ask for fewer directions_per_pass"
                                : "; allow more, or give it shorter examples"));
}

// Passes -------------------------------------------------------------------------------------

ForwardPass & Prober::forward_pass(size_t part, int slots) {
    if (!forward_ || pass_of_ != std::make_pair(part, slots)) {
        forward_.reset();
        const auto & [batch, start, share] = parts_[part];
        forward_ = std::make_unique<ForwardPass>(at_.device, at_.model, *lora_, batch, at_.labels,
                                                 start, slots);
        forward_->allocate();
        pass_of_ = { part, slots };
    }
    return *forward_;
}

TangentPass & Prober::tangent_pass(size_t part, int directions) {
    if (!tangent_ || pass_of_ != std::make_pair(part, directions)) {
        tangent_.reset();
        const auto & [batch, start, share] = parts_[part];
        tangent_ = std::make_unique<TangentPass>(at_.device, at_.model, at_.adapter, *lora_,
                                                 batch, at_.labels, start, moving_.support,
                                                 directions, measuring_.refine);
        tangent_->allocate();
        pass_of_ = { part, directions };
    }
    return *tangent_;
}

Coverage Prober::coverage() const {
    if (tangent_) return tangent_->coverage();
    return forward_ ? forward_->coverage() : Coverage();
}

// The losses of the first slots.
std::vector<double> Prober::losses(int slots) {
    std::vector<double> losses(size_t(slots), 0.0);
    for (size_t part = 0; part < parts_.size(); part++) {
        ForwardPass & pass = forward_pass(part, slots);
        pass.run();
        for (int slot = 0; slot < slots; slot++) {
            losses[size_t(slot)] += parts_[part].share * pass.mean_loss(slot);
        }
    }
    passes_++;
    return losses;
}

// The losses at θ + scale · v for each direction v, in one pass.
std::vector<double> Prober::losses(const std::vector<Direction> & directions, double scale) {
    for (size_t slot = 0; slot < directions.size(); slot++) {
        lora_->write(int(slot), directions[slot], float(scale));
    }
    return losses(int(directions.size()));
}

double Prober::base_loss() {
    if (!base_loss_) {
        lora_->write(0);
        base_loss_ = losses(1)[0];
    }
    return *base_loss_;
}

std::vector<Slope> Prober::tangents(const std::vector<Direction> & directions) {
    double loss = 0;
    std::vector<double> slopes(directions.size(), 0.0);
    for (size_t part = 0; part < parts_.size(); part++) {
        TangentPass & pass = tangent_pass(part, int(directions.size()));
        pass.run(directions);
        loss += parts_[part].share * pass.mean_loss();
        const std::vector<double> of_part = pass.slopes();
        for (size_t i = 0; i < slopes.size(); i++) slopes[i] += parts_[part].share * of_part[i];
    }
    passes_ += 1 + int(directions.size());
    std::vector<Slope> found;
    for (double slope : slopes) found.push_back({ slope, loss, loss });
    return found;
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
        case Estimator::tangent: return tangents(directions);
    }
    return slopes;
}

}  // namespace fwdllm
