// Records on standard output, one JSON object a line; defined by android_harness/records.py.
#pragma once

#include "combination.h"
#include "coverage.h"
#include "memory.h"
#include "slope.h"
#include "warmup.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

struct Hello {
    struct Device {
        std::string name;
        std::string description;
        std::string kind;  // cpu, gpu, igpu, accel
        size_t memory_total_bytes;
    };
    std::string engine;  // what computes: ggml, executorch
    std::string engine_version;
    std::vector<std::string> features;  // instruction sets that the engine's build uses
    std::vector<Device> devices;
};

struct Load {
    std::string backend;
    std::string device;
    int threads;
    std::optional<std::string> cpu_mask;
    size_t parameters;
    size_t weight_bytes;
    int64_t wall_ns;
    int64_t cpu_ns;
    std::string lora_sha256;
};

struct Sample {
    const char * phase;  // first, warmup, steady
    int64_t repetition;
    int directions;
    int passes;
    int64_t start_ns;
    int64_t wall_ns;
    int64_t cpu_ns;
};

// What an operator took over all its calls.
struct OperatorTime {
    std::string program;
    std::string place;  // kernel, delegate, control
    std::string name;
    int64_t calls;
    int64_t wall_ns;
};

struct Evaluation {
    double loss;
    size_t positions;
    std::vector<int32_t> predictions;
    int64_t wall_ns;
    int64_t cpu_ns;
};

std::string version_line(const Hello & hello);

void write_hello(const Hello & hello);
void write_load(const Load & load);
void write_sample(size_t task, const Sample & sample);
void write_warmup(size_t task, const Warmup & warmup);
void write_pace(size_t task, const char * when, int64_t wall_ns);  // before, after
void write_probe(size_t task, const DirectionName & direction, const Slope & slope);
void write_along(size_t task, const Slope & slope);
void write_evaluation(size_t task, const Evaluation & evaluation);
// `directions`: how many were measured while the times were taken.
void write_operators(size_t task, int64_t directions, const std::vector<OperatorTime> & operators);
void write_memory(size_t task, const Memory & memory, std::optional<int64_t> predicted_bytes);
void write_coverage(size_t task, const Coverage & coverage);
void write_prefix(size_t task, int64_t examples_computed, int64_t examples_reused);
void write_error(const std::string & message);  // with the phase and file of the current activity
void write_end(bool ok, size_t tasks_done);

}  // namespace fwdllm
