// When a process has settled, so that what it measures from then on is steady.
#pragma once

#include <cstdint>
#include <vector>

namespace fwdllm {

struct WarmupRule {
    int64_t least = 6;  // repetitions
    int64_t most_ns = 60'000'000'000;
    double tolerance = 0.04;  // relative difference that still counts as none
};

// Is fed with what repetitions took. Settled: of the newest three quarters of them, 6 at least,
// the median of the older half and that of the newer differ by `tolerance` at most. That takes
// `least` repetitions and a thirtieth of `most_ns`: 2 s of a minute, in which clocks have climbed.
//
// AndroidX's WarmupManager has the tolerance, and compares two moving averages over some 10 and
// 200 iterations. Repetitions here last from milliseconds to many seconds, so the halves grow with
// what there is instead: 6 long ones can settle, and a slow start is still seen among a thousand
// short ones. A median of 3 or more does not see a single outlier. What that finds and what it
// misses is counted in tests/common/test_warmup.cpp.
class Warmup {
  public:
    explicit Warmup(const WarmupRule & rule) : rule_(rule) {}

    void add(int64_t wall_ns, double ns_per_probe);
    bool settled() const;
    // Settled, or out of time: a repetition that has begun is finished, another does not begin.
    bool over() const { return settled() || wall_ns_ >= rule_.most_ns; }

    int64_t repetitions() const { return int64_t(ns_per_probe_.size()); }
    int64_t wall_ns() const { return wall_ns_; }

  private:
    WarmupRule rule_;
    std::vector<double> ns_per_probe_;
    int64_t wall_ns_ = 0;  // of all repetitions
};

}  // namespace fwdllm
