// The tasks of a job: probe, along, time, evaluate. Each writes its records as it goes.
#pragma once

#include "job.h"
#include "workplace.h"

namespace fwdllm {

// Runs task number `index` and writes its records, a memory record last.
void run_task(size_t index, const Task & task, const Workplace & workplace);

}  // namespace fwdllm
