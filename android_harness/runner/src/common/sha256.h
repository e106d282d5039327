// SHA-256 (FIPS 180-4).
#pragma once

#include <cstddef>
#include <string>

namespace fwdllm {

// 64 lower-case hexadecimal digits.
std::string sha256_hex(const void * data, size_t bytes);

}  // namespace fwdllm
