// What ggml says goes to stderr; its last error is kept, because it names the cause of a refusal.
#pragma once

#include <string>

namespace fwdllm {

void capture_ggml_log();
void forget_ggml_errors();
std::string last_ggml_error();  // one line, empty when there was none

}  // namespace fwdllm
