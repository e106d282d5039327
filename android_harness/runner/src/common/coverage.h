// What part of a graph the device computes.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace fwdllm {

// How many nodes of a graph the device computes, and which operations are left to the CPU.
struct Coverage {
    int64_t on_device = 0;
    std::map<std::string, int64_t> on_cpu;  // by operation; none where the device is the CPU
};

}  // namespace fwdllm
