#include "state_folder.h"

#include "sha256.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace fwdllm {

namespace fs = std::filesystem;

static const char * const k_suffix = ".states";
static const size_t k_digest = 64;  // hexadecimal digits after the states

StateFolder::StateFolder(const std::string & path, size_t most_bytes)
    : folder_(path), most_bytes_(most_bytes) {
    std::error_code error;
    std::vector<std::pair<fs::file_time_type, File>> found;
    fs::create_directories(folder_, error);
    for (const auto & entry : fs::directory_iterator(folder_, error)) {
        if (entry.path().extension() != k_suffix) continue;
        const size_t bytes = entry.file_size(error);
        if (!error) found.push_back({ entry.last_write_time(error), { entry.path(), bytes } });
    }
    std::sort(found.begin(), found.end(),
              [](const auto & a, const auto & b) { return a.first < b.first; });
    for (auto & [time, file] : found) {
        bytes_ += file.bytes;
        files_.push_back(std::move(file));
    }
}

std::string StateFolder::path_of(const std::string & name) const {
    return folder_ + "/" + name + k_suffix;
}

std::optional<std::vector<uint8_t>> StateFolder::read(const std::string & name,
                                                      size_t bytes) const {
    const std::string path = path_of(name);
    std::ifstream file(path, std::ios::binary);
    std::vector<uint8_t> states(bytes);
    std::string digest(k_digest, '\0');
    if (!file.read(reinterpret_cast<char *>(states.data()), std::streamsize(bytes)) ||
        !file.read(digest.data(), std::streamsize(k_digest)) || file.peek() != EOF ||
        digest != sha256_hex(states.data(), states.size())) {
        return std::nullopt;
    }
    std::error_code error;
    fs::last_write_time(path, fs::file_time_type::clock::now(), error);  // used just now
    return states;
}

void StateFolder::write(const std::string & name, const std::vector<uint8_t> & states) {
    const size_t bytes = states.size() + k_digest;
    if (bytes > most_bytes_) return;
    std::error_code error;
    while (bytes_ + bytes > most_bytes_) {
        fs::remove(files_.front().path, error);
        bytes_ -= files_.front().bytes;
        files_.pop_front();
    }
    const std::string path = path_of(name), partial = path + "." + std::to_string(getpid());
    std::ofstream file(partial, std::ios::binary);
    const std::string digest = sha256_hex(states.data(), states.size());
    file.write(reinterpret_cast<const char *>(states.data()), std::streamsize(states.size()));
    file.write(digest.data(), std::streamsize(digest.size()));
    file.close();
    if (file) fs::rename(partial, path, error);
    if (!file || error) {
        fs::remove(partial, error);
        return;
    }
    files_.push_back({ path, bytes });
    bytes_ += bytes;
}

}  // namespace fwdllm
