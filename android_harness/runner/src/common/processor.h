// The processor that the runner was built for, held against the one that it runs on.
#pragma once

namespace fwdllm {

// Parts of the instruction set that this build may use, as /proc/cpuinfo names them; null at the
// end.
extern const char * const k_built_for[];

// Ends the program with an `error` record unless the processor has all of these. The first thing
// that a runner does: what comes after may be an instruction that kills it.
void refuse_wrong_processor(const char * const * features);

}  // namespace fwdllm
