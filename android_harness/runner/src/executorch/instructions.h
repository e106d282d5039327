// What a method of a .pte is made of.
#pragma once

#include "mapped_file.h"
#include "operator_times.h"

#include <string>
#include <vector>

namespace fwdllm {

// The method's instructions in the order in which they run; a Failure where the file is no .pte
// that we can read or its instructions jump.
std::vector<Instruction> read_instructions(const MappedFile & file, const std::string & method);

}  // namespace fwdllm
