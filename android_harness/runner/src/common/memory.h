// Memory of this process as the kernel counts it.
#pragma once

#include <cstdint>

namespace fwdllm {

struct Memory {
    int64_t vm_hwm_bytes = 0;    // peak resident size since the process started
    int64_t rss_anon_bytes = 0;  // resident now: heap, stacks, weight and activation buffers
    int64_t rss_file_bytes = 0;  // resident now: mapped files, such as the binary itself

    int64_t resident_bytes() const { return rss_anon_bytes + rss_file_bytes; }
};

Memory read_memory();

// From now on, what is freed in large pieces goes back to the system at once.
void return_freed_memory();

}  // namespace fwdllm
