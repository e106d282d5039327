#include "values_file.h"

#include "failure.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

namespace fwdllm {

std::vector<float> read_values(const std::string & path, size_t count) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw Failure(std::string("cannot open: ") + strerror(errno));
    const auto bytes = file.tellg();
    const size_t expected = count * sizeof(float);
    if (bytes < 0 || size_t(bytes) != expected) {
        throw Failure(std::to_string(bytes) + " bytes, the adapter's " + std::to_string(count) +
                      " parameters need " + std::to_string(expected));
    }
    std::vector<float> values(count);
    file.seekg(0);
    if (!file.read(reinterpret_cast<char *>(values.data()), std::streamsize(expected))) {
        throw Failure("cannot read the values");
    }
    return values;
}

void write_values(const std::string & path, const std::vector<float> & values) {
    const std::string temporary = path + ".tmp-" + std::to_string(getpid());
    const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const auto give_up = [&](const char * what) {
        const std::string reason = strerror(errno);
        if (file >= 0) close(file);
        unlink(temporary.c_str());
        throw Failure(std::string("cannot ") + what + ": " + reason);
    };
    if (file < 0) give_up("create");
    const char * bytes = reinterpret_cast<const char *>(values.data());
    for (size_t left = values.size() * sizeof(float); left > 0;) {
        const ssize_t written = write(file, bytes, left);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) give_up("write");
        bytes += written, left -= size_t(written);
    }
    if (fsync(file) != 0) give_up("sync");
    if (rename(temporary.c_str(), path.c_str()) != 0) give_up("rename");
    close(file);
    // The rename is only durable once the folder is.
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        fsync(directory);
        close(directory);
    }
}

}  // namespace fwdllm
