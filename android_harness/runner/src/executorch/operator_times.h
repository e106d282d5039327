// How long the instructions of programs take: kernels of the portable library one by one, and
// calls of a delegate as wholes, into which the runtime does not look.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

namespace fwdllm {

struct Instruction {
    std::string place;  // kernel, delegate, or control
    std::string name;   // aten::embedding.out, XnnpackBackend 1
};

// Sums of what it is told while it listens.
class OperatorTimes {
  public:
    struct Sum {
        int64_t calls = 0;
        int64_t wall_ns = 0;
    };
    using Key = std::tuple<std::string, std::string, std::string>;  // method, place, name

    bool listening() const { return listening_; }
    void listen(bool on) { listening_ = on; }
    void clear() { sums_.clear(); }
    void add(const std::string & method, const Instruction & instruction, int64_t wall_ns) {
        Sum & sum = sums_[{ method, instruction.place, instruction.name }];
        sum.calls++;
        sum.wall_ns += wall_ns;
    }
    const std::map<Key, Sum> & sums() const { return sums_; }

  private:
    bool listening_ = false;
    std::map<Key, Sum> sums_;
};

}  // namespace fwdllm
