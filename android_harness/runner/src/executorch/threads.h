// The threads that ExecuTorch's operators run on.
#pragma once

namespace fwdllm {

// Call it after the process is bound to its CPUs: the threads inherit that.
void start_threads(int count);

}  // namespace fwdllm
