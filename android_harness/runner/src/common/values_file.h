// LoRA values on disk: raw little-endian float32 in layout order.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace fwdllm {

// Reads a file of exactly `count` values.
std::vector<float> read_values(const std::string & path, size_t count);

// Replaces `path` atomically and durably: a crash leaves the old file or the whole new one.
void write_values(const std::string & path, const std::vector<float> & values);

}  // namespace fwdllm
