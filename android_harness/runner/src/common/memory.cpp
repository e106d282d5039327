#include "memory.h"

#include <fstream>
#include <malloc.h>
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

void return_freed_memory() {
#ifdef M_MMAP_THRESHOLD
    // Set once, it no longer rises with what is freed: else glibc would keep the buffers of each
    // pass, and their sizes differ too much for the next pass to fill the holes.
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}

}  // namespace fwdllm
