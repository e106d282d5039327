// A GGUF file, checked before anything is taken from it: ggml reads the header, this class makes
// every wrong type, missing key and tensor that reaches beyond the file's end a Failure.
#pragma once

#include "gguf.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

struct TensorInfo {
    std::string name;
    ggml_type type;
    int64_t ne[4];         // ggml order: ne[0] is the contiguous dimension
    uint64_t file_offset;  // bytes from the start of the file
    size_t bytes;
};

class GgufFile {
  public:
    explicit GgufFile(const std::string & path);
    ~GgufFile();
    GgufFile(const GgufFile &) = delete;
    GgufFile & operator=(const GgufFile &) = delete;

    bool has(const std::string & key) const;
    std::string text(const std::string & key) const;
    double number(const std::string & key) const;  // finite
    std::optional<double> optional_number(const std::string & key) const;
    // A whole number from 1 to 2^31 − 1, such as every size is.
    int64_t size(const std::string & key) const;
    std::optional<int64_t> optional_size(const std::string & key) const;

    const std::vector<TensorInfo> & tensors() const { return tensors_; }  // in file order
    const TensorInfo * find(const std::string & name) const;             // nullptr: absent

    // Reads part of a tensor's data straight from the file, past any mapping or copy.
    void read(const TensorInfo & tensor, size_t first_byte, size_t bytes, void * out) const;

  private:
    int64_t key_of(const std::string & key, const char * wanted) const;

    std::unique_ptr<gguf_context, void (*)(gguf_context *)> header_;
    std::vector<TensorInfo> tensors_;
    int descriptor_ = -1;
};

}  // namespace fwdllm
