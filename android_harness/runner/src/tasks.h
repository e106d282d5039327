// The tasks of a job: probe, along, time, evaluate. Each writes its records as it goes.
#pragma once

#include "cpu.h"
#include "examples.h"
#include "job.h"
#include "lora.h"
#include "model.h"

#include <vector>

namespace fwdllm {

// Everything a task works with; loaded once per job.
struct Workplace {
    const Model & model;
    const Adapter & adapter;
    const Cpu & cpu;
    const std::vector<Example> & examples;
    const Labels & labels;
};

// Runs task number `index` and writes its records, a memory record last.
void run_task(size_t index, const Task & task, const Workplace & workplace);

}  // namespace fwdllm
