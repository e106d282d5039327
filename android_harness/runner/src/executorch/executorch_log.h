// ExecuTorch's errors go to stderr; the first since the last question is kept, since it names the
// cause of a refusal.
#pragma once

#include "failure.h"

#include <executorch/runtime/core/error.h>

#include <string>

namespace fwdllm {

// Starts the runtime, with its messages going through here.
void start_executorch();

// Throws a Failure that says what did not work and why, unless `error` is Ok.
void check(executorch::runtime::Error error, const std::string & what);

}  // namespace fwdllm
