// A method of a .pte that is ready to run: its inputs by name, its outputs by name.
#pragma once

#include "manifest.h"
#include "mapped_file.h"
#include "operator_times.h"

#include <executorch/runtime/core/named_data_map.h>
#include <executorch/runtime/executor/program.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fwdllm {

class Program {
  public:
    // `weights`: what all programs share; nullptr: everything is in the .pte. Where the method's
    // inputs and outputs are not those of `info`, or one of them is unknown, it is a Failure.
    Program(const executorch::runtime::Program & file, const ProgramInfo & info,
            const executorch::runtime::NamedDataMap * weights);
    ~Program();

    const ProgramInfo & info() const { return info_; }

    // Room for an input, filled with zeros before anything is written there and never changed by
    // a run; nullptr: the method has no such input.
    float * floats(const std::string & input);
    int64_t * integers(const std::string & input);

    void run();
    // The same instruction by instruction, which are those of the mapped .pte.
    void run_timed(const MappedFile & file, OperatorTimes & times);

    // Of the last run.
    const float * float_output(const std::string & output) const;
    const int64_t * integer_output(const std::string & output) const;

  private:
    struct Memory;
    struct Input;
    void set_inputs();
    const void * output(const std::string & name, const std::string & dtype) const;

    const ProgramInfo & info_;
    std::unique_ptr<Memory> memory_;
    std::vector<std::unique_ptr<Input>> inputs_;
    std::unique_ptr<executorch::runtime::Method> method_;
    std::vector<Instruction> instructions_;  // read when they are first timed
};

}  // namespace fwdllm
