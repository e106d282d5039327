// What the hello record says of ggml.
#pragma once

#include "records.h"

namespace fwdllm {

Hello hello();

}  // namespace fwdllm
