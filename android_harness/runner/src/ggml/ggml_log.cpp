#include "ggml_log.h"

#include "ggml.h"

#include <cstdio>

namespace fwdllm {

static std::string & last_error() {
    static std::string text;
    return text;
}

static void on_log(ggml_log_level level, const char * text, void *) {
    if (level != GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_ERROR) return;
    fputs(text, stderr);
    if (level == GGML_LOG_LEVEL_WARN) return;
    last_error() = text;
    while (!last_error().empty() && last_error().back() == '\n') last_error().pop_back();
}

void capture_ggml_log() { ggml_log_set(on_log, nullptr); }

void forget_ggml_errors() { last_error().clear(); }

std::string last_ggml_error() { return last_error(); }

}  // namespace fwdllm
