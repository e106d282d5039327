// The frame of a runner's program: its arguments, the hello and end records, and failures.
#pragma once

#include "records.h"

#include <cstddef>
#include <string>

namespace fwdllm {

// Performs the job of a file; counts the tasks that are done as it goes.
using RunJob = void (*)(const std::string & path, size_t & tasks_done);

// main() of a runner: its exit code.
int runner_main(int argc, char ** argv, Hello (*hello)(), RunJob run_job);

// Writes an error record and the end: what is left to do for who cannot throw. The exit code.
int fail(const std::string & message);

}  // namespace fwdllm
