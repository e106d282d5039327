#include "gguf_file.h"

#include "failure.h"
#include "ggml_log.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fwdllm {

GgufFile::GgufFile(const std::string & path) : header_(nullptr, gguf_free) {
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) {
        throw Failure(std::string("cannot open: ") + strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) throw Failure("not a regular file");

    forget_ggml_errors();
    header_.reset(gguf_init_from_file(path.c_str(), { /*no_alloc=*/true, /*ctx=*/nullptr }));
    if (!header_) {
        const std::string reason = last_ggml_error();
        throw Failure("not a readable GGUF file" + (reason.empty() ? "" : ": " + reason));
    }

    const uint64_t file_bytes = uint64_t(status.st_size);
    const uint64_t data_start = gguf_get_data_offset(header_.get());
    for (int64_t i = 0; i < gguf_get_n_tensors(header_.get()); i++) {
        TensorInfo tensor;
        tensor.name = gguf_get_tensor_name(header_.get(), i);
        tensor.type = gguf_get_tensor_type(header_.get(), i);
        memcpy(tensor.ne, gguf_get_tensor_ne(header_.get(), i), sizeof tensor.ne);
        tensor.bytes = gguf_get_tensor_size(header_.get(), i);
        tensor.file_offset = data_start + gguf_get_tensor_offset(header_.get(), i);
        if (tensor.file_offset > file_bytes || tensor.bytes > file_bytes - tensor.file_offset) {
            throw Failure("truncated: tensor " + tensor.name + " reaches beyond the end of the file");
        }
        tensors_.push_back(tensor);
    }
}

GgufFile::~GgufFile() {
    if (descriptor_ >= 0) close(descriptor_);
}

bool GgufFile::has(const std::string & key) const {
    return gguf_find_key(header_.get(), key.c_str()) >= 0;
}

int64_t GgufFile::key_of(const std::string & key, const char * wanted) const {
    const int64_t id = gguf_find_key(header_.get(), key.c_str());
    if (id < 0) throw Failure("no " + key + " (" + wanted + ") in the metadata");
    return id;
}

std::string GgufFile::text(const std::string & key) const {
    const int64_t id = key_of(key, "a string");
    if (gguf_get_kv_type(header_.get(), id) != GGUF_TYPE_STRING) {
        throw Failure(key + " is not a string");
    }
    return gguf_get_val_str(header_.get(), id);
}

double GgufFile::number(const std::string & key) const {
    const gguf_context * header = header_.get();
    const int64_t id = key_of(key, "a number");
    double value = NAN;
    switch (gguf_get_kv_type(header, id)) {
        case GGUF_TYPE_UINT8: value = gguf_get_val_u8(header, id); break;
        case GGUF_TYPE_INT8: value = gguf_get_val_i8(header, id); break;
        case GGUF_TYPE_UINT16: value = gguf_get_val_u16(header, id); break;
        case GGUF_TYPE_INT16: value = gguf_get_val_i16(header, id); break;
        case GGUF_TYPE_UINT32: value = gguf_get_val_u32(header, id); break;
        case GGUF_TYPE_INT32: value = gguf_get_val_i32(header, id); break;
        case GGUF_TYPE_UINT64: value = double(gguf_get_val_u64(header, id)); break;
        case GGUF_TYPE_INT64: value = double(gguf_get_val_i64(header, id)); break;
        case GGUF_TYPE_FLOAT32: value = gguf_get_val_f32(header, id); break;
        case GGUF_TYPE_FLOAT64: value = gguf_get_val_f64(header, id); break;
        default: throw Failure(key + " is not a number");
    }
    if (!std::isfinite(value)) throw Failure(key + " is not finite");
    return value;
}

std::optional<double> GgufFile::optional_number(const std::string & key) const {
    if (!has(key)) return std::nullopt;
    return number(key);
}

int64_t GgufFile::size(const std::string & key) const {
    const double value = number(key);
    if (value < 1 || value > 2147483647.0 || value != std::floor(value)) {
        throw Failure(key + " is not a size: " + std::to_string(value));
    }
    return int64_t(value);
}

std::optional<int64_t> GgufFile::optional_size(const std::string & key) const {
    if (!has(key)) return std::nullopt;
    return size(key);
}

const TensorInfo * GgufFile::find(const std::string & name) const {
    const int64_t id = gguf_find_tensor(header_.get(), name.c_str());
    return id < 0 ? nullptr : &tensors_[size_t(id)];
}

void GgufFile::read(const TensorInfo & tensor, size_t first_byte, size_t bytes, void * out) const {
    uint8_t * target = static_cast<uint8_t *>(out);
    uint64_t offset = tensor.file_offset + first_byte;
    while (bytes > 0) {
        const ssize_t got = pread(descriptor_, target, bytes, off_t(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw Failure("cannot read " + tensor.name + ": " + strerror(errno));
        if (got == 0) throw Failure("the file ended inside " + tensor.name);
        target += got, offset += uint64_t(got), bytes -= size_t(got);
    }
}

}  // namespace fwdllm
