// Probe and time tasks, as any engine's prober performs them. A prober has `at_once()`, how many
// directions it measures together, `measure(directions)`, their slopes, and `passes()` so far.
#pragma once

#include "clock.h"
#include "job.h"
#include "parameter_matrix.h"
#include "records.h"

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

// Times repetition `i`, warm-up ones first, with the directions of the seeds from `seed` on.
template <typename Prober>
Sample time_repetition(int64_t i, const TimeTask & task, Prober & prober, uint64_t & seed) {
    const int passes_before = prober.passes();
    Sample sample;
    sample.directions = 0;
    sample.start_ns = boot_ns();
    const int64_t wall_start_ns = monotonic_ns();
    const int64_t cpu_start_ns = process_cpu_ns();
    // A pass of a small model is shorter than the interruptions of a busy system: go on until the
    // repetition is long enough to average over them.
    do {
        std::vector<Direction> directions;
        for (int k = 0; k < prober.at_once(); k++) {
            directions.push_back(NamedDirection{ seed++, task.distribution, task.support });
        }
        prober.measure(directions);
        sample.directions += prober.at_once();
    } while (monotonic_ns() - wall_start_ns < task.minimum_ns);
    sample.cpu_ns = process_cpu_ns() - cpu_start_ns;
    sample.wall_ns = monotonic_ns() - wall_start_ns;
    sample.warmup = i < task.warmup;
    sample.repetition = sample.warmup ? i : i - task.warmup;
    sample.passes = prober.passes() - passes_before;
    return sample;
}

}  // namespace fwdllm
