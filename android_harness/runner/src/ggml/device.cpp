#include "device.h"

#include "failure.h"

#include <algorithm>
#include <cctype>

namespace fwdllm {

static std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return char(std::tolower(c)); });
    return text;
}

static std::string backend_of(ggml_backend_dev_t device) {
    return lower(ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)));
}

static ggml_backend_dev_t find_device(const std::optional<std::string> & name) {
    if (!name) return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    std::string known;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        const std::string wanted = lower(*name);
        if (wanted == lower(ggml_backend_dev_name(device)) || wanted == backend_of(device)) {
            return device;
        }
        known += std::string(known.empty() ? "" : ", ") + ggml_backend_dev_name(device);
    }
    throw Failure("no device " + *name + " here; there are " + known);
}

Device::Device(const Cpu & cpu, const std::optional<std::string> & name)
    : cpu_(cpu), device_(find_device(name)) {}

std::string Device::name() const { return ggml_backend_dev_name(device_); }

std::string Device::backend() const { return "ggml-" + backend_of(device_); }

BackendHandle Device::new_backend() const {
    BackendHandle backend(ggml_backend_dev_init(device_, nullptr));
    if (!backend) throw Failure("the device " + name() + " does not start");
    return backend;
}

}  // namespace fwdllm
