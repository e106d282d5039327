#include "hello.h"

#include <executorch/runtime/backend/interface.h>

#include <unistd.h>

namespace fwdllm {

// The backends that are linked in. XNNPACK finds the processor's features when it runs, so none
// are named here.
Hello hello() {
    const size_t memory = size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGE_SIZE));
    std::string backends;
    for (size_t i = 0; i < executorch::runtime::get_num_registered_backends(); i++) {
        const auto name = executorch::runtime::get_backend_name(i);
        if (name.ok()) backends += (backends.empty() ? "" : ", ") + std::string(*name);
    }
    return { "executorch", FWDLLM_EXECUTORCH_VERSION, {},
             { { "CPU", backends.empty() ? "no backend" : backends, "cpu", memory } } };
}

}  // namespace fwdllm
