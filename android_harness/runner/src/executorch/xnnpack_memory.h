// What XNNPACK keeps in memory.
#pragma once

namespace fwdllm {

// All programs that load later share one packed copy of the weights and one workspace. Where
// XNNPACK is not linked in, nothing happens.
void share_xnnpack_memory();

}  // namespace fwdllm
