#include "instructions.h"

#include "flatbuffer.h"

namespace fwdllm {

// Fields of ExecuTorch's schema/program.fbs.
enum ProgramField { k_execution_plan = 1 };
enum PlanField { k_name = 0, k_chains = 5, k_operators = 6, k_delegates = 7 };
enum ChainField { k_instructions = 2 };
enum InstructionField { k_arguments_type = 0, k_arguments = 1 };
enum ArgumentsType { k_kernel_call = 1, k_delegate_call = 2, k_jump_false_call = 4 };
enum CallField { k_index = 0 };
enum OperatorField { k_operator_name = 0, k_overload = 1 };
enum DelegateField { k_backend = 0 };

static Instruction instruction_at(const FlatTable & plan, const FlatTable & instruction) {
    const uint8_t type = instruction.number<uint8_t>(k_arguments_type);
    if (type == k_jump_false_call) throw Failure("its instructions jump, so they cannot be timed");
    if (type != k_kernel_call && type != k_delegate_call) return { "control", "move or free" };
    const size_t index = size_t(instruction.table(k_arguments).number<int32_t>(k_index));
    const FlatVector known = plan.vector(type == k_kernel_call ? k_operators : k_delegates);
    if (index >= known.size()) throw Failure("the file is damaged: an instruction calls nothing");
    const FlatTable called{ plan.buffer, known.table(index) };
    if (type == k_delegate_call) {
        return { "delegate", called.text(k_backend) + " " + std::to_string(index) };
    }
    const std::string overload = called.text(k_overload);
    return { "kernel", called.text(k_operator_name) + (overload.empty() ? "" : "." + overload) };
}

std::vector<Instruction> read_instructions(const MappedFile & file, const std::string & method) {
    const FlatBuffer buffer{ file.data(), file.size() };
    const FlatTable program{ buffer, buffer.follow(0) };
    const FlatVector plans = program.vector(k_execution_plan);
    for (size_t i = 0; i < plans.size(); i++) {
        const FlatTable plan{ buffer, plans.table(i) };
        if (plan.text(k_name) != method) continue;
        std::vector<Instruction> instructions;
        const FlatVector chains = plan.vector(k_chains);
        for (size_t c = 0; c < chains.size(); c++) {
            const FlatVector chain = FlatTable{ buffer, chains.table(c) }.vector(k_instructions);
            for (size_t k = 0; k < chain.size(); k++) {
                instructions.push_back(instruction_at(plan, { buffer, chain.table(k) }));
            }
        }
        return instructions;
    }
    throw Failure("the .pte has no method " + method);
}

}  // namespace fwdllm
