// What the hello record says of ExecuTorch.
#pragma once

#include "records.h"

namespace fwdllm {

Hello hello();

}  // namespace fwdllm
