// The device that computes: the CPU, or another that ggml has a backend for, with the CPU beside it
// for what that backend cannot do.
#pragma once

#include "cpu.h"

#include <optional>
#include <string>

namespace fwdllm {

using BackendHandle = Handle<ggml_backend_t, ggml_backend_free>;

class Device {
  public:
    // `name`: of a device, such as Vulkan0, or of a backend, whose first device is taken; upper and
    // lower case are the same. Absent: the CPU. A name that this build does not know is a Failure.
    Device(const Cpu & cpu, const std::optional<std::string> & name);

    bool is_cpu() const { return ggml_backend_dev_type(device_) == GGML_BACKEND_DEVICE_TYPE_CPU; }
    const Cpu & cpu() const { return cpu_; }
    std::string name() const;     // Vulkan0
    std::string backend() const;  // ggml-vulkan
    ggml_backend_dev_t device() const { return device_; }
    ggml_backend_buffer_type_t buffer_type() const { return ggml_backend_dev_buffer_type(device_); }
    // One more queue of work on it; not for the CPU.
    BackendHandle new_backend() const;

  private:
    const Cpu & cpu_;
    ggml_backend_dev_t device_;
};

}  // namespace fwdllm
