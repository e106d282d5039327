// Failures that become an `error` record: what went wrong while the runner was busy with what.
#pragma once

#include <stdexcept>
#include <string>

namespace fwdllm {

// An expected failure: a file that does not fit, a number that is not finite, memory that ran out.
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// What the runner is doing now. Every failure, also an abort inside ggml, is reported with it.
struct Activity {
    // delivery, job, model, adapter, lora_values, examples, direction, compute
    std::string phase = "job";
    std::string file;           // empty: no file concerned
};

inline Activity & current_activity() {
    static Activity activity;
    return activity;
}

inline void begin(const char * phase, const std::string & file = "") {
    current_activity() = { phase, file };
}

}  // namespace fwdllm
