#include "memory.h"

#include <fstream>
#include <sstream>
#include <string>

namespace fwdllm {

Memory read_memory() {
    Memory memory;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        std::istringstream words(line);  // e.g. "VmHWM:     6400 kB"
        std::string name;
        int64_t kilobytes = 0;
        words >> name >> kilobytes;
        if (name == "VmHWM:") memory.vm_hwm_bytes = kilobytes * 1024;
        if (name == "RssAnon:") memory.rss_anon_bytes = kilobytes * 1024;
        if (name == "RssFile:") memory.rss_file_bytes = kilobytes * 1024;
    }
    return memory;
}

}  // namespace fwdllm
