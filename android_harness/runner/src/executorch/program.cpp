#include "program.h"

#include "clock.h"
#include "executorch_log.h"
#include "instructions.h"

#include <executorch/runtime/executor/memory_manager.h>

#include <algorithm>
#include <cstdlib>

namespace fwdllm {

using namespace executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;

// What the runner knows how to fill and to read.
static const std::map<std::string, std::string> k_inputs = {
    { "tokens", "int64" },       { "mask", "float32" },       { "rows", "int64" },
    { "targets", "int64" },      { "weights", "float32" },    { "logit_bias", "float32" },
    { "lora", "float32" },       { "directions", "float32" },
};

// Memory that grows as it is asked for, and is given back as a whole.
class GrowingAllocator final : public MemoryAllocator {
  public:
    GrowingAllocator() : MemoryAllocator(0, nullptr) {}
    ~GrowingAllocator() override { reset(); }

    void * allocate(size_t size, size_t alignment) override {
        void * block = nullptr;
        if (posix_memalign(&block, std::max(alignment, sizeof(void *)), size) != 0) return nullptr;
        blocks_.push_back(block);
        return block;
    }
    void reset() override {
        for (void * block : blocks_) free(block);
        blocks_.clear();
    }

  private:
    std::vector<void *> blocks_;
};

// What a method computes in; as long as the method.
struct Program::Memory {
    GrowingAllocator of_method, of_operators;
    std::vector<std::vector<uint8_t>> planned;
    std::vector<Span<uint8_t>> spans;
    std::unique_ptr<HierarchicalAllocator> arena;
    std::unique_ptr<MemoryManager> manager;

    explicit Memory(const MethodMeta & meta) {
        for (size_t i = 0; i < meta.num_memory_planned_buffers(); i++) {
            const Result<int64_t> size = meta.memory_planned_buffer_size(i);
            check(size.error(), "the program's memory plan is damaged");
            planned.emplace_back(size_t(*size));
        }
        for (std::vector<uint8_t> & buffer : planned) spans.emplace_back(buffer.data(), buffer.size());
        arena = std::make_unique<HierarchicalAllocator>(
            Span<Span<uint8_t>>(spans.data(), spans.size()));
        manager = std::make_unique<MemoryManager>(&of_method, arena.get(), &of_operators);
    }
};

// An input as a tensor over memory of its own.
struct Program::Input {
    const Port & port;
    std::vector<uint64_t> words;  // aligned for either type
    std::vector<TensorImpl::SizesType> sizes;
    std::vector<TensorImpl::DimOrderType> order;
    std::unique_ptr<TensorImpl> tensor;

    explicit Input(const Port & input) : port(input) {
        const bool integers = port.dtype == "int64";
        words.resize(integers ? port.elements() : (port.elements() + 1) / 2);
        for (size_t d = 0; d < port.shape.size(); d++) {
            sizes.push_back(TensorImpl::SizesType(port.shape[d]));
            order.push_back(TensorImpl::DimOrderType(d));
        }
        tensor = std::make_unique<TensorImpl>(integers ? ScalarType::Long : ScalarType::Float,
                                              ssize_t(sizes.size()), sizes.data(), words.data(),
                                              order.data());
    }
};

static void check_input(const ProgramInfo & info, const Port & port, const TensorInfo & declared) {
    const std::string place = "program " + info.method + ", input " + port.name;
    const auto known = k_inputs.find(port.name);
    if (known == k_inputs.end()) {
        throw Failure(place + ": this runner does not know it; update fwdllm");
    }
    if (port.dtype != known->second) throw Failure(place + ": expected " + known->second);
    const auto type = port.dtype == "int64" ? ScalarType::Long : ScalarType::Float;
    const auto sizes = declared.sizes();
    const bool fits = declared.scalar_type() == type && sizes.size() == port.shape.size() &&
                      std::equal(sizes.begin(), sizes.end(), port.shape.begin());
    if (!fits) throw Failure(place + ": the .pte has another shape or type than the manifest says");
}

Program::Program(const executorch::runtime::Program & file, const ProgramInfo & info,
                 const NamedDataMap * weights)
    : info_(info) {
    const std::string what = "the program " + info.method + " does not load";
    const Result<MethodMeta> meta = file.method_meta(info.method.c_str());
    check(meta.error(), what);
    if (meta->num_inputs() != info.inputs.size() || meta->num_outputs() != info.outputs.size()) {
        throw Failure("program " + info.method +
                      " has another number of inputs or outputs than the manifest says");
    }
    for (size_t i = 0; i < info.inputs.size(); i++) {
        const Result<TensorInfo> declared = meta->input_tensor_meta(i);
        check(declared.error(), what);
        check_input(info, info.inputs[i], *declared);
        inputs_.push_back(std::make_unique<Input>(info.inputs[i]));
    }
    memory_ = std::make_unique<Memory>(*meta);
    Result<Method> method =
        file.load_method(info.method.c_str(), memory_->manager.get(), /*event_tracer=*/nullptr,
                         weights);
    check(method.error(), what);
    method_ = std::make_unique<Method>(std::move(*method));
}

Program::~Program() = default;

float * Program::floats(const std::string & name) {
    for (const auto & input : inputs_) {
        if (input->port.name == name) return reinterpret_cast<float *>(input->words.data());
    }
    return nullptr;
}

int64_t * Program::integers(const std::string & name) {
    for (const auto & input : inputs_) {
        if (input->port.name == name) return reinterpret_cast<int64_t *>(input->words.data());
    }
    return nullptr;
}

// The method may compute in its planned copy of an input, so each run gets them anew.
void Program::set_inputs() {
    for (size_t i = 0; i < inputs_.size(); i++) {
        check(method_->set_input(EValue(Tensor(inputs_[i]->tensor.get())), i),
              "program " + info_.method + " refuses its input " + inputs_[i]->port.name);
    }
}

void Program::run() {
    set_inputs();
    check(method_->execute(), "the program " + info_.method + " failed");
}

// Stepping is marked as an interface that may change.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void Program::run_timed(const MappedFile & file, OperatorTimes & times) {
    const std::string what = "the program " + info_.method + " failed";
    if (instructions_.empty()) instructions_ = read_instructions(file, info_.method);
    set_inputs();
    for (const Instruction & instruction : instructions_) {
        const int64_t start_ns = monotonic_ns();
        check(method_->step(), what);
        times.add(info_.method, instruction, monotonic_ns() - start_ns);
    }
    if (method_->step() != Error::EndOfMethod) throw Failure(what + ": it has more instructions");
    check(method_->reset_execution(), what);
}
#pragma GCC diagnostic pop

const void * Program::output(const std::string & name, const std::string & dtype) const {
    for (size_t i = 0; i < info_.outputs.size(); i++) {
        const Port & port = info_.outputs[i];
        if (port.name != name) continue;
        const EValue & value = method_->get_output(i);
        const auto type = dtype == "int64" ? ScalarType::Long : ScalarType::Float;
        if (!value.isTensor() || value.toTensor().scalar_type() != type ||
            size_t(value.toTensor().numel()) != port.elements()) {
            break;
        }
        return value.toTensor().const_data_ptr();
    }
    throw Failure("program " + info_.method + " has no output " + name + " of type " + dtype);
}

const float * Program::float_output(const std::string & name) const {
    return static_cast<const float *>(output(name, "float32"));
}

const int64_t * Program::integer_output(const std::string & name) const {
    return static_cast<const int64_t *>(output(name, "int64"));
}

}  // namespace fwdllm
