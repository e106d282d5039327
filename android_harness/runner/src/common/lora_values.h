// The LoRA values of a job: read, updated, kept.
#pragma once

#include "failure.h"
#include "job.h"
#include "sha256.h"
#include "values_file.h"

#include <string>

namespace fwdllm {

// Brings the adapter's values to those that the job asks for, and writes them where it wants them.
// An Adapter has matrices(), values(), read_values(path) and update(combination).
template <typename Adapter>
void bring_values(Adapter & adapter, const Job & job) {
    check_names(job, adapter.matrices().size());
    if (job.lora_values) {
        begin("lora_values", *job.lora_values);
        adapter.read_values(*job.lora_values);
    }
    begin("lora_values");
    for (const Combination & update : job.updates) adapter.update(update);
    if (job.lora_values_out) {
        begin("lora_values", *job.lora_values_out);
        write_values(*job.lora_values_out, adapter.values());
    }
}

inline std::string sha256_of_values(const std::vector<float> & values) {
    return sha256_hex(values.data(), values.size() * sizeof(float));
}

}  // namespace fwdllm
