// Everything that a task works with; loaded once per job.
#pragma once

#include "bundle.h"
#include "examples.h"
#include "labels.h"
#include "lora.h"

#include <vector>

namespace fwdllm {

struct Workplace {
    Bundle & bundle;
    const Lora & lora;
    const std::vector<Example> & examples;
    const Labels & labels;
};

}  // namespace fwdllm
