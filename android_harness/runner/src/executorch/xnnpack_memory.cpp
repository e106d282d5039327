#include "xnnpack_memory.h"

#include "executorch_log.h"

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/backend/options.h>

namespace fwdllm {

// Names and values of ExecuTorch's backends/xnnpack/runtime/XNNPACKBackend.h, which the wheel
// leaves out.
static const char * const k_backend = "XnnpackBackend";
static const int k_global_workspace = 2;

void share_xnnpack_memory() {
    using namespace executorch::runtime;
    if (get_backend_class(k_backend) == nullptr) return;
    BackendOptions<2> options;
    check(options.set_option("weight_cache_enabled", true), "XNNPACK takes no options");
    check(options.set_option("workspace_sharing_mode", k_global_workspace),
          "XNNPACK takes no options");
    check(set_option(k_backend, options.view()), "XNNPACK refuses to share its memory");
}

}  // namespace fwdllm
