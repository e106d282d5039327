#include "executorch_log.h"

#include "runner_main.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdio>
#include <unistd.h>

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

// The runtime aborts on what it takes for a programming error. The process cannot go on from there,
// but it can say so in the words that its reader understands.
[[noreturn]] static void on_abort() {
    _exit(fail("ExecuTorch gave up: " + first_error()));
}

void start_executorch() {
    executorch::runtime::PalImpl ours =
        executorch::runtime::PalImpl::create(on_message, __FILE__);
    ours.abort = on_abort;
    executorch::runtime::register_pal(ours);
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
