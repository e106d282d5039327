// How long the operators of programs take, as the runtime tells whoever listens.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace fwdllm {

// Sums by name while it listens. Names are the runtime's: of kernels, and, within a delegate, of
// the delegate's own operators.
class OperatorTimes final : public executorch::runtime::EventTracer {
  public:
    struct Sum {
        int64_t calls = 0;
        int64_t wall_ns = 0;
    };
    // By place (method, delegate, kernel, delegated) and name. A method's time holds those of its
    // kernels and delegates, a delegate's those of what is delegated.
    using Sums = std::map<std::pair<std::string, std::string>, Sum>;

    void listen(bool on) { listening_ = on; }
    const Sums & sums() const { return sums_; }
    void clear() { sums_.clear(); }

    // What the runtime calls.
    using Entry = executorch::runtime::EventTracerEntry;
    using DebugId = executorch::runtime::DelegateDebugIntId;
    using Tensor = executorch::aten::Tensor;
    void create_event_block(const char *) override {}
    Entry start_profiling(const char * name, executorch::runtime::ChainID,
                          executorch::runtime::DebugHandle) override;
    void end_profiling(Entry entry) override;
    Entry start_profiling_delegate(const char * name, DebugId id) override;
    void end_profiling_delegate(Entry entry, const void *, size_t) override;
    void log_profiling_delegate(const char * name, DebugId id, et_timestamp_t start,
                                et_timestamp_t end, const void *, size_t) override;

    // Memory and values are not followed.
    using Logged = executorch::runtime::Result<bool>;
    void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
    executorch::runtime::AllocatorID track_allocator(const char *) override { return 0; }
    Logged log_evalue(const executorch::runtime::EValue &,
                      executorch::runtime::LoggedEValueType) override { return false; }
    Logged log_intermediate_output_delegate(const char *, DebugId, const Tensor &) override {
        return false;
    }
    Logged log_intermediate_output_delegate(const char *, DebugId,
                                            executorch::runtime::ArrayRef<Tensor>) override {
        return false;
    }
    Logged log_intermediate_output_delegate(const char *, DebugId, const int &) override {
        return false;
    }
    Logged log_intermediate_output_delegate(const char *, DebugId, const bool &) override {
        return false;
    }
    Logged log_intermediate_output_delegate(const char *, DebugId, const double &) override {
        return false;
    }
    void set_delegation_intermediate_output_filter(
        executorch::runtime::EventTracerFilterBase *) override {}

  private:
    struct Begun {
        std::string place, name;
        int64_t start_ns;
    };
    Entry begin(std::string place, std::string name);
    void end(const Entry & entry);
    void add(const std::string & place, const std::string & name, int64_t wall_ns);

    bool listening_ = false;
    Sums sums_;
    std::vector<Begun> begun_;  // events that have not ended, the innermost last
};

}  // namespace fwdllm
