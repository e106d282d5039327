// Everything that a task works with; loaded once per job.
#pragma once

#include "device.h"
#include "examples.h"
#include "lora.h"
#include "loss.h"
#include "model.h"
#include "prefix.h"

#include <optional>
#include <vector>

namespace fwdllm {

struct Workplace {
    const Device & device;
    const Model & model;
    const Adapter & adapter;
    const std::vector<Example> & examples;
    const Labels & labels;
    Prefix & prefix;
    std::optional<size_t> memory_bytes;  // that the process may take; none: as it likes
};

}  // namespace fwdllm
