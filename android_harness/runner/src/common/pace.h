// How fast a core of this process is at the moment, whatever it was asked to compute.
#pragma once

#include <cstdint>

namespace fwdllm {

// Wall nanoseconds of a fixed chain of integer and floating-point arithmetic, 1 to 5 ms of it, on
// the calling thread, and so on a core of the job's mask. The shortest of several runs: they go on
// as long as they get shorter, since a core that was idle climbs to its clock frequency first.
int64_t pace_ns();

}  // namespace fwdllm
