#include "cpu_mask.h"

#include "failure.h"

#include <cerrno>
#include <cstring>
#include <sched.h>

namespace fwdllm {

static int digit_value(char digit) {
    if (digit <= '9') return digit - '0';
    return (digit | 0x20) - 'a' + 10;
}

void bind_process(const std::string & mask) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int cpu = 0;  // the last digit holds CPUs 0 to 3
    for (size_t i = mask.size() - 1; i >= 2; i--, cpu += 4) {
        for (int bit = 0; bit < 4; bit++) {
            if ((digit_value(mask[i]) >> bit) & 1) CPU_SET(cpu + bit, &set);
        }
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw Failure("the kernel refuses the CPU mask " + mask + ": " + strerror(errno));
    }
}

std::string read_cpu_mask() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        throw Failure(std::string("cannot read the CPU mask back: ") + strerror(errno));
    }
    std::string mask;
    for (int cpu = CPU_SETSIZE - 4; cpu >= 0; cpu -= 4) {
        int value = 0;
        for (int bit = 0; bit < 4; bit++) value |= CPU_ISSET(cpu + bit, &set) ? 1 << bit : 0;
        if (value != 0 || !mask.empty()) mask += "0123456789abcdef"[value];
    }
    return "0x" + mask;
}

}  // namespace fwdllm
