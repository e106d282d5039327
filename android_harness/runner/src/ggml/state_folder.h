// A folder of kept states, bounded in size; the least recently used go first. A file that is not
// whole is as good as absent, and a folder that cannot be written costs time and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

class StateFolder {
  public:
    // Looks once at what is there; what other processes add later is not counted.
    StateFolder(const std::string & path, size_t most_bytes);

    std::optional<std::vector<uint8_t>> read(const std::string & name, size_t bytes) const;
    // Written under another name first, so that no reader sees a part.
    void write(const std::string & name, const std::vector<uint8_t> & states);

  private:
    struct File {
        std::string path;
        size_t bytes;
    };

    std::string path_of(const std::string & name) const;

    const std::string folder_;
    const size_t most_bytes_;
    std::list<File> files_;  // in the order in which they go
    size_t bytes_ = 0;
};

}  // namespace fwdllm
