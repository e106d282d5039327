// What is kept of the layers below the first that a task's directions move; see PrefixPolicy in
// android_harness/job.py.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace fwdllm {

struct PrefixPolicy {
    size_t bytes = 0;  // in memory, and as many again in the folder; 0: nothing is kept
    bool half = true;  // float16, otherwise float32
    // Where states outlive this process, under the hash of all that they depend on.
    std::optional<std::string> folder;
    std::string model_sha256;  // of the base model's file
};

}  // namespace fwdllm
