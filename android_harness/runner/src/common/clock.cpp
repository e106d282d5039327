#include "clock.h"

#include <time.h>

namespace fwdllm {

static int64_t read_ns(clockid_t id) {
    timespec now;
    clock_gettime(id, &now);
    return int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

int64_t monotonic_ns() { return read_ns(CLOCK_MONOTONIC); }

int64_t boot_ns() { return read_ns(CLOCK_BOOTTIME); }

int64_t process_cpu_ns() { return read_ns(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace fwdllm
