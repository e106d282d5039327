#include "executorch_log.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdio>

namespace fwdllm {

static std::string & first_error() {
    static std::string text;
    return text;
}

static void on_message(et_timestamp_t, et_pal_log_level_t level, const char *, const char *, size_t,
                       const char * message, size_t length) {
    if (level != kError && level != kFatal) return;
    const std::string text(message, length);
    fprintf(stderr, "%s\n", text.c_str());
    if (first_error().empty()) first_error() = text;
}

void start_executorch() {
    executorch::runtime::register_pal(
        executorch::runtime::PalImpl::create(on_message, __FILE__));
    executorch::runtime::runtime_init();
}

void check(executorch::runtime::Error error, const std::string & what) {
    const std::string cause = first_error();
    first_error().clear();
    if (error == executorch::runtime::Error::Ok) return;
    throw Failure(what + ": " + executorch::runtime::to_string(error) +
                  (cause.empty() ? "" : " (" + cause + ")"));
}

}  // namespace fwdllm
