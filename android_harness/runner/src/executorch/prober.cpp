#include "prober.h"

#include "failure.h"

#include <algorithm>

namespace fwdllm {

// Copies of the LoRA that a direction takes, or columns of tangents.
static int64_t columns_of(Estimator estimator) { return estimator == Estimator::central ? 2 : 1; }

static ProgramKind kind_of(Estimator estimator) {
    return estimator == Estimator::tangent ? ProgramKind::tangent : ProgramKind::loss;
}

Prober::Prober(const Workplace & at, const Measuring & measuring, std::optional<int> at_once,
               int most)
    : at_(at), measuring_(measuring) {
    if (measuring.refine) {
        throw Failure("a .pte has no refined passes; leave refine out, or use a GGUF bundle");
    }
    if (at_once) {
        at_once_ = std::min(*at_once, most);
        return;
    }
    int64_t slots = 1;
    for (size_t index : at.bundle.of_kind(kind_of(measuring.estimator))) {
        slots = std::max(slots, at.bundle.manifest().programs[index].slots);
    }
    const int64_t fit = std::max<int64_t>(1, slots / columns_of(measuring.estimator));
    at_once_ = int(std::min<int64_t>(fit, most));
}

std::vector<double> Prober::losses(const std::vector<Copy> & copies) {
    BatchRuns runs(at_, measuring_.batch, ProgramKind::loss, int64_t(copies.size()));
    std::vector<double> sums(copies.size(), 0.0);
    const size_t parameters = at_.lora.parameters();
    const auto fill = [&](Program & program, int64_t first, int64_t count) {
        float * lora = program.floats("lora");
        std::fill_n(lora, program.info().input("lora")->elements(), 0.0f);
        for (int64_t slot = 0; slot < count; slot++) {
            const Copy & copy = copies[size_t(first + slot)];
            float * out = lora + size_t(slot) * parameters;
            if (copy.direction == nullptr) {
                std::copy(at_.lora.values().begin(), at_.lora.values().end(), out);
            } else {
                at_.lora.write_moved(*copy.direction, copy.scale, out);
            }
        }
    };
    const auto take = [&](Program & program, int64_t first, int64_t count) {
        const float * part = program.float_output("losses");
        for (int64_t slot = 0; slot < count; slot++) sums[size_t(first + slot)] += part[slot];
    };
    passes_ += runs.run(int64_t(copies.size()), fill, take);
    return sums;
}

std::vector<Slope> Prober::tangents(const std::vector<Direction> & directions) {
    BatchRuns runs(at_, measuring_.batch, ProgramKind::tangent, int64_t(directions.size()));
    const size_t parameters = at_.lora.parameters();
    double loss = 0;
    std::vector<double> slopes(directions.size(), 0.0);
    const auto fill = [&](Program & program, int64_t first, int64_t count) {
        std::copy(at_.lora.values().begin(), at_.lora.values().end(), program.floats("lora"));
        float * columns = program.floats("directions");
        std::fill_n(columns, program.info().input("directions")->elements(), 0.0f);
        for (int64_t slot = 0; slot < count; slot++) {
            at_.lora.write_direction(directions[size_t(first + slot)],
                                     columns + size_t(slot) * parameters);
        }
    };
    const auto take = [&](Program & program, int64_t first, int64_t count) {
        if (first == 0) loss += *program.float_output("loss");
        const float * part = program.float_output("slopes");
        for (int64_t slot = 0; slot < count; slot++) slopes[size_t(first + slot)] += part[slot];
    };
    passes_ += runs.run(int64_t(directions.size()), fill, take);
    std::vector<Slope> found;
    for (double slope : slopes) found.push_back({ slope, loss, loss });
    return found;
}

double Prober::base_loss() {
    if (!base_loss_) base_loss_ = losses({ { nullptr, 0.0f } })[0];
    return *base_loss_;
}

std::vector<Slope> Prober::measure(const std::vector<Direction> & directions) {
    const double epsilon = measuring_.epsilon;
    std::vector<Copy> copies;
    std::vector<Slope> slopes;
    switch (measuring_.estimator) {
        case Estimator::central: {
            for (const Direction & direction : directions) {  // both signs share a run
                copies.push_back({ &direction, float(epsilon) });
                copies.push_back({ &direction, float(-epsilon) });
            }
            const std::vector<double> both = losses(copies);
            for (size_t i = 0; i < both.size(); i += 2) {
                slopes.push_back({ (both[i] - both[i + 1]) / (2 * epsilon), both[i], both[i + 1] });
            }
            break;
        }
        case Estimator::forward: {
            const double base = base_loss();
            for (const Direction & direction : directions) {
                copies.push_back({ &direction, float(epsilon) });
            }
            for (double plus : losses(copies)) {
                slopes.push_back({ (plus - base) / epsilon, plus, base });
            }
            break;
        }
        case Estimator::tangent: slopes = tangents(directions); break;
    }
    return slopes;
}

}  // namespace fwdllm
