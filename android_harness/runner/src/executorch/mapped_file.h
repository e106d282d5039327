// A file in the address space: its pages come when they are read, and the kernel may drop them.
#pragma once

#include <executorch/runtime/core/data_loader.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace fwdllm {

class MappedFile {
  public:
    explicit MappedFile(const std::string & path);
    ~MappedFile();
    MappedFile(const MappedFile &) = delete;
    MappedFile & operator=(const MappedFile &) = delete;

    const uint8_t * data() const { return data_; }
    size_t size() const { return size_; }

  private:
    const uint8_t * data_ = nullptr;
    size_t size_ = 0;
};

// What ExecuTorch reads a program from: parts of a mapped file, never copied.
class MappedLoader final : public executorch::runtime::DataLoader {
  public:
    explicit MappedLoader(const MappedFile & file) : file_(file) {}

    executorch::runtime::Result<executorch::runtime::FreeableBuffer>
    load(size_t offset, size_t size, const SegmentInfo &) const override;
    executorch::runtime::Error load_into(size_t offset, size_t size, const SegmentInfo &,
                                         void * buffer) const override;
    executorch::runtime::Result<size_t> size() const override { return file_.size(); }

  private:
    bool has(size_t offset, size_t size) const;

    const MappedFile & file_;
};

}  // namespace fwdllm
