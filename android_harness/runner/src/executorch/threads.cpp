#include "threads.h"

#include "failure.h"

#include <executorch/extension/threadpool/threadpool.h>

namespace fwdllm {

void start_threads(int count) {
    using executorch::extension::threadpool::get_threadpool;
    auto * pool = get_threadpool();
    // "Unsafe" while a program runs; none is loaded yet.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const bool started = pool != nullptr && pool->_unsafe_reset_threadpool(uint32_t(count));
#pragma GCC diagnostic pop
    if (!started) throw Failure("cannot start " + std::to_string(count) + " threads");
}

}  // namespace fwdllm
