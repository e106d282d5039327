// The job file; the format is defined by android_harness/job.py.
#pragma once

#include "combination.h"
#include "labels.h"
#include "prefix_policy.h"
#include "warmup.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace fwdllm {

enum class Estimator { central, forward, tangent };

struct Measuring {
    std::vector<int64_t> batch;  // lines of the examples file, from 0
    Estimator estimator = Estimator::central;
    double epsilon = 0;   // central and forward
    bool refine = false;  // tangent: the primal's columns to 16 bits, see TangentPass
};

struct Probing : Measuring {
    Distribution distribution = Distribution::rademacher;
    std::optional<int> directions_per_pass;  // absent: as memory allows
    Support support;
};

struct ProbeTask : Probing {
    std::vector<DirectionName> directions;
};

struct AlongTask : Measuring {
    std::string direction;  // a file of raw float32, one for each parameter
};

struct TimeTask : Probing {
    WarmupRule warmup;
    int64_t repetitions = 0;
    int64_t minimum_ns = 0;  // a steady repetition goes on until it has lasted this long
    uint64_t first_seed = 1;
    bool operators = false;  // also how long each operator of a program takes
};

struct EvaluateTask {
    std::vector<int64_t> batch;
};

using Task = std::variant<ProbeTask, AlongTask, TimeTask, EvaluateTask>;

struct Job {
    std::string model;
    std::string adapter;
    std::string examples;
    std::map<std::string, std::string> files;  // of the bundle, by their names in its manifest
    std::optional<std::string> lora_values;
    std::vector<Combination> updates;
    std::optional<std::string> lora_values_out;
    Labels labels;
    int threads = 1;
    std::optional<std::string> cpu_mask;
    std::optional<std::string> device;
    std::optional<size_t> memory_bytes;
    PrefixPolicy prefix;
    std::vector<Task> tasks;
};

// Reads and checks a job; relative paths in it become relative to the job file's folder.
// Anything that job.py would refuse is a Failure that names the field.
Job read_job(const std::string & path);

// Names of directions with one seed for each matrix need an adapter of as many matrices. What the
// adapter has is not known when the job is read: any other number is a Failure here.
void check_names(const Job & job, size_t matrices);

}  // namespace fwdllm
