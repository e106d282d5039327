#include "operator_times.h"

#include "clock.h"

#include <executorch/runtime/platform/platform.h>

#include <cstring>

namespace fwdllm {

static const char * const k_kernel_prefix = "native_call_";

static std::string delegated_name(const char * name, OperatorTimes::DebugId id) {
    return name != nullptr ? name : "#" + std::to_string(id);
}

void OperatorTimes::add(const std::string & place, const std::string & name, int64_t wall_ns) {
    if (!listening_) return;
    Sum & sum = sums_[{ place, name }];
    sum.calls++;
    sum.wall_ns += wall_ns;
}

OperatorTimes::Entry OperatorTimes::begin(std::string place, std::string name) {
    begun_.push_back({ std::move(place), std::move(name), monotonic_ns() });
    return { int64_t(begun_.size()), 0, 0, 0, executorch::runtime::DelegateDebugIdType::kNone };
}

void OperatorTimes::end(const Entry & entry) {
    if (entry.event_id != int64_t(begun_.size())) return;  // the runtime ends them innermost first
    const Begun & begun = begun_.back();
    add(begun.place, begun.name, monotonic_ns() - begun.start_ns);
    begun_.pop_back();
}

OperatorTimes::Entry OperatorTimes::start_profiling(const char * name, executorch::runtime::ChainID,
                                                    executorch::runtime::DebugHandle) {
    if (strncmp(name, k_kernel_prefix, strlen(k_kernel_prefix)) == 0) {
        return begin("kernel", name + strlen(k_kernel_prefix));
    }
    return begin(strcmp(name, "DELEGATE_CALL") == 0 ? "delegate" : "method", name);
}

void OperatorTimes::end_profiling(Entry entry) { end(entry); }

OperatorTimes::Entry OperatorTimes::start_profiling_delegate(const char * name, DebugId id) {
    return begin("delegated", delegated_name(name, id));
}

void OperatorTimes::end_profiling_delegate(Entry entry, const void *, size_t) { end(entry); }

void OperatorTimes::log_profiling_delegate(const char * name, DebugId id, et_timestamp_t start,
                                           et_timestamp_t stop, const void *, size_t) {
    const auto ratio = executorch::runtime::pal_ticks_to_ns_multiplier();
    add("delegated", delegated_name(name, id),
        int64_t(stop - start) * int64_t(ratio.numerator) / int64_t(ratio.denominator));
}

}  // namespace fwdllm
