#include "hello.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"

#include <utility>

namespace fwdllm {

static std::vector<std::string> cpu_features() {
    const std::pair<const char *, int (*)()> known[] = {
        { "SSE3", ggml_cpu_has_sse3 },
        { "SSSE3", ggml_cpu_has_ssse3 },
        { "AVX", ggml_cpu_has_avx },
        { "AVX_VNNI", ggml_cpu_has_avx_vnni },
        { "AVX2", ggml_cpu_has_avx2 },
        { "BMI2", ggml_cpu_has_bmi2 },
        { "F16C", ggml_cpu_has_f16c },
        { "FMA", ggml_cpu_has_fma },
        { "AVX512", ggml_cpu_has_avx512 },
        { "AVX512_VBMI", ggml_cpu_has_avx512_vbmi },
        { "AVX512_VNNI", ggml_cpu_has_avx512_vnni },
        { "AVX512_BF16", ggml_cpu_has_avx512_bf16 },
        { "AMX_INT8", ggml_cpu_has_amx_int8 },
        { "NEON", ggml_cpu_has_neon },
        { "ARM_FMA", ggml_cpu_has_arm_fma },
        { "FP16_VA", ggml_cpu_has_fp16_va },
        { "DOTPROD", ggml_cpu_has_dotprod },
        { "MATMUL_INT8", ggml_cpu_has_matmul_int8 },
        { "SVE", ggml_cpu_has_sve },
        { "SME", ggml_cpu_has_sme },
        { "LLAMAFILE", ggml_cpu_has_llamafile },
    };
    std::vector<std::string> features;
    for (const auto & [name, present] : known) {
        if (present()) features.push_back(name);
    }
    return features;
}

static const char * device_kind(enum ggml_backend_dev_type type) {
    switch (type) {
        case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
        default: return "accel";
    }
}

static std::vector<Hello::Device> devices() {
    std::vector<Hello::Device> list;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free_bytes = 0, total_bytes = 0;
        ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
        list.push_back({ ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                         device_kind(ggml_backend_dev_type(device)), total_bytes });
    }
    return list;
}

Hello hello() {
    return { "ggml", std::string(ggml_version()) + " (" FWDLLM_GGML_SOURCE ")", cpu_features(),
             devices() };
}

}  // namespace fwdllm
