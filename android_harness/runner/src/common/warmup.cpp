#include "warmup.h"

#include <algorithm>
#include <cmath>

namespace fwdllm {

static const size_t k_least_window = 6;

static double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void Warmup::add(int64_t wall_ns, double ns_per_probe) {
    wall_ns_ += wall_ns;
    ns_per_probe_.push_back(ns_per_probe);
}

bool Warmup::settled() const {
    const size_t count = ns_per_probe_.size();
    if (count < k_least_window || int64_t(count) < rule_.least) return false;
    if (wall_ns_ < rule_.most_ns / 30) return false;
    const size_t half = std::max(k_least_window, count - count / 4) / 2;
    const auto newer = ns_per_probe_.end() - int64_t(half), older = newer - int64_t(half);
    const double before = median({ older, newer }), after = median({ newer, ns_per_probe_.end() });
    return std::abs(after - before) <= rule_.tolerance * std::min(before, after);
}

}  // namespace fwdllm
