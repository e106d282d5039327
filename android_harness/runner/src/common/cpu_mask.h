// The CPUs that this process may run on.
#pragma once

#include <string>

namespace fwdllm {

// `mask` is a hexadecimal CPU mask, 0x followed by up to 128 digits. It holds for the whole
// process: all threads that start later inherit it.
void bind_process(const std::string & mask);

// The mask the kernel really keeps for this process, in the same notation.
std::string read_cpu_mask();

}  // namespace fwdllm
