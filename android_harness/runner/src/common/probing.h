// Probe and time tasks, as any engine's prober performs them. A prober has `at_once()`, how many
// directions it measures together, `measure(directions)`, their slopes, and `passes()` so far.
#pragma once

#include "clock.h"
#include "job.h"
#include "pace.h"
#include "parameter_matrix.h"
#include "records.h"
#include "warmup.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fwdllm {

// Measures the task's directions; a record for each.
template <typename Prober>
void probe(size_t index, const ProbeTask & task, Prober & prober) {
    const size_t at_once = size_t(prober.at_once());
    for (size_t first = 0; first < task.directions.size(); first += at_once) {
        const size_t last = std::min(first + at_once, task.directions.size());
        std::vector<Direction> directions;
        for (size_t i = first; i < last; i++) {
            directions.push_back(
                NamedDirection{ task.directions[i], task.distribution, task.support });
        }
        const std::vector<Slope> slopes = prober.measure(directions);
        for (size_t i = first; i < last; i++) {
            write_probe(index, task.directions[i], slopes[i - first]);
        }
    }
}

// Performs a time task in two steps, between which an engine may begin to listen; a record for
// each repetition. Directions are those of the seeds from `first_seed` on.
template <typename Prober>
class Timing {
  public:
    Timing(size_t index, const TimeTask & task, Prober & prober)
        : index_(index), task_(task), prober_(prober), seed_(task.first_seed) {}

    // What a process pays for its first probes; then repetitions until they take alike.
    void warm_up() {
        repeat("first", 0, 0);
        Warmup warmup(task_.warmup);
        while (!warmup.over()) {
            // Long enough that there are at most a thousand of them.
            const Sample sample =
                repeat("warmup", warmup.repetitions(), task_.warmup.most_ns / 1000);
            warmup.add(sample.wall_ns, double(sample.wall_ns) / sample.directions);
        }
        write_warmup(index_, warmup);
    }

    // What counts; returns how many directions were measured.
    int64_t measure() {
        int64_t directions = 0;
        write_pace(index_, "before", pace_ns());
        for (int64_t i = 0; i < task_.repetitions; i++) {
            // A pass of a small model is shorter than the interruptions of a busy system: go on
            // until the repetition is long enough to average over them.
            directions += repeat("steady", i, task_.minimum_ns).directions;
        }
        write_pace(index_, "after", pace_ns());
        return directions;
    }

  private:
    Sample repeat(const char * phase, int64_t repetition, int64_t minimum_ns) {
        Sample sample{};
        sample.phase = phase;
        sample.repetition = repetition;
        const int passes_before = prober_.passes();
        sample.start_ns = boot_ns();
        const int64_t wall_start_ns = monotonic_ns();
        const int64_t cpu_start_ns = process_cpu_ns();
        do {
            std::vector<Direction> directions;
            for (int k = 0; k < prober_.at_once(); k++) {
                directions.push_back(NamedDirection{ seed_++, task_.distribution, task_.support });
            }
            prober_.measure(directions);
            sample.directions += prober_.at_once();
        } while (monotonic_ns() - wall_start_ns < minimum_ns);
        sample.cpu_ns = process_cpu_ns() - cpu_start_ns;
        sample.wall_ns = monotonic_ns() - wall_start_ns;
        sample.passes = prober_.passes() - passes_before;
        write_sample(index_, sample);
        return sample;
    }

    size_t index_;
    const TimeTask & task_;
    Prober & prober_;
    uint64_t seed_;
};

}  // namespace fwdllm
