// ggml's warnings and errors go to stderr; the last error is kept, since it names the cause of a
// refusal.
#pragma once

#include <string>

namespace fwdllm {

void capture_ggml_log();
void forget_ggml_errors();
std::string last_ggml_error();  // one line, empty when there was none

}  // namespace fwdllm
