#include "mapped_file.h"

#include "failure.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fwdllm {

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;

MappedFile::MappedFile(const std::string & path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw Failure(std::string("cannot open: ") + strerror(errno));
    struct stat status {};
    const bool known = fstat(file, &status) == 0;
    size_ = known ? size_t(status.st_size) : 0;
    void * data = size_ > 0 ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    const std::string reason = size_ > 0 ? strerror(errno) : "it is empty";
    close(file);
    if (data == MAP_FAILED) throw Failure("cannot map the file: " + reason);
    data_ = static_cast<const uint8_t *>(data);
}

MappedFile::~MappedFile() { munmap(const_cast<uint8_t *>(data_), size_); }

bool MappedLoader::has(size_t offset, size_t size) const {
    return offset <= file_.size() && size <= file_.size() - offset;
}

Result<FreeableBuffer> MappedLoader::load(size_t offset, size_t size, const SegmentInfo &) const {
    if (!has(offset, size)) return Error::InvalidArgument;
    return FreeableBuffer(file_.data() + offset, size, /*free_fn=*/nullptr);
}

Error MappedLoader::load_into(size_t offset, size_t size, const SegmentInfo &, void * buffer) const {
    if (!has(offset, size)) return Error::InvalidArgument;
    memcpy(buffer, file_.data() + offset, size);
    return Error::Ok;
}

}  // namespace fwdllm
