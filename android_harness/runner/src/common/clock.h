// Clocks of a sample, in nanoseconds.
#pragma once

#include <cstdint>

namespace fwdllm {

int64_t monotonic_ns();    // CLOCK_MONOTONIC: for differences
int64_t boot_ns();         // CLOCK_BOOTTIME: that of /proc/uptime, for other readings on the device
int64_t process_cpu_ns();  // CPU time of the whole process, all threads

}  // namespace fwdllm
