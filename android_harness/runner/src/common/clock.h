// Clocks of a sample, in nanoseconds.
#pragma once

#include <cstdint>

namespace fwdllm {

int64_t monotonic_ns();    // CLOCK_MONOTONIC: comparable with other readings on the same device
int64_t process_cpu_ns();  // CPU time of the whole process, all threads

}  // namespace fwdllm
