// The job file; the format is defined by android_harness/job.py.
#pragma once

#include "directions.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fwdllm {

enum class Estimator { central, forward };

struct Probing {
    std::vector<int64_t> batch;  // lines of the examples file, from 0
    Estimator estimator = Estimator::central;
    double epsilon = 0;
    Distribution distribution = Distribution::rademacher;
    int directions_per_pass = 1;
    std::optional<std::pair<int64_t, int64_t>> layers;  // inclusive
};

struct ProbeTask : Probing {
    std::vector<uint64_t> seeds;
};

struct TimeTask : Probing {
    int64_t warmup = 0;
    int64_t repetitions = 0;
    int64_t minimum_ns = 0;  // a repetition goes on until it has lasted this long
    uint64_t first_seed = 1;
};

struct EvaluateTask {
    std::vector<int64_t> batch;
};

using Task = std::variant<ProbeTask, TimeTask, EvaluateTask>;

struct Job {
    std::string model;
    std::string adapter;
    std::string examples;
    std::optional<std::string> lora_values;
    std::vector<std::pair<uint64_t, double>> updates;  // (seed, coefficient)
    std::optional<std::string> lora_values_out;
    std::vector<int32_t> label_tokens;  // empty: the loss is over the whole vocabulary
    int threads = 1;
    std::optional<std::string> cpu_mask;
    std::vector<Task> tasks;
};

// Reads and checks a job; relative paths in it become relative to the job file's folder.
// Anything that job.py would refuse is a Failure that names the field.
Job read_job(const std::string & path);

}  // namespace fwdllm
