// The device that computes: the CPU, or another that ggml has a backend for, with the CPU beside it
// for what that backend cannot do.
#pragma once

#include "cpu.h"

#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

class Device {
  public:
    // `name`: of a device, such as Vulkan0, or of a backend, whose first device is taken; upper and
    // lower case are the same. Absent: the CPU. A name that this build does not know is a Failure.
    Device(const Cpu & cpu, const std::optional<std::string> & name);

    bool is_cpu() const { return backend_ == nullptr; }
    const Cpu & cpu() const { return cpu_; }
    std::string name() const;     // Vulkan0
    std::string backend() const;  // ggml-vulkan
    ggml_backend_dev_t device() const { return device_; }
    ggml_backend_buffer_type_t buffer_type() const { return ggml_backend_dev_buffer_type(device_); }
    // In the order in which a node is offered to them.
    std::vector<ggml_backend_t> backends() const;

  private:
    const Cpu & cpu_;
    ggml_backend_dev_t device_;
    Handle<ggml_backend_t, ggml_backend_free> backend_;  // not for the CPU
};

}  // namespace fwdllm
