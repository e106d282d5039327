#include "records.h"

#include "failure.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <unistd.h>

namespace fwdllm {

using Json = nlohmann::ordered_json;

#if defined(__x86_64__)
static const char * const k_architecture = "x86_64";
#elif defined(__aarch64__)
static const char * const k_architecture = "aarch64";
#else
#error "the runner is built for x86_64 and aarch64"
#endif

#if defined(__clang__)
static const char * const k_compiler = "clang " __clang_version__;
#else
static const char * const k_compiler = "gcc " __VERSION__;
#endif

// A line at a time: who reads the stream sees whole records, also when the runner is killed.
// Names from broken files may not be UTF-8; they are shown with replacement characters.
static void write_line(const Json & record) {
    const std::string line = record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    fwrite(line.data(), 1, line.size(), stdout);
    fflush(stdout);
}

static Json text_or_null(const std::string & text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

static std::string ggml_build() {
    return std::string(ggml_version()) + " (" FWDLLM_GGML_SOURCE ")";
}

std::string version_line() {
    return "fwdllm-runner " FWDLLM_RUNNER_VERSION ", ggml " + ggml_build() + ", " + k_architecture;
}

static Json cpu_features() {
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
    Json features = Json::array();
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

static Json devices() {
    Json list = Json::array();
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free_bytes = 0, total_bytes = 0;
        ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
        list.push_back({ { "name", ggml_backend_dev_name(device) },
                         { "description", ggml_backend_dev_description(device) },
                         { "kind", device_kind(ggml_backend_dev_type(device)) },
                         { "memory_total_bytes", total_bytes } });
    }
    return list;
}

void write_hello() {
    write_line({ { "event", "hello" },
                 { "schema_version", 1 },
                 { "runner_version", FWDLLM_RUNNER_VERSION },
                 { "ggml_version", ggml_build() },
                 { "compiler", k_compiler },
                 { "architecture", k_architecture },
                 { "features", cpu_features() },
                 { "devices", devices() },
                 { "pid", int64_t(getpid()) } });
}

void write_load(const Load & load) {
    write_line({ { "event", "load" },
                 { "backend", load.backend },
                 { "device", load.device },
                 { "threads", load.threads },
                 { "cpu_mask", text_or_null(load.cpu_mask.value_or("")) },
                 { "parameters", load.parameters },
                 { "weight_bytes", load.weight_bytes },
                 { "wall_ns", load.wall_ns },
                 { "cpu_ns", load.cpu_ns },
                 { "lora_sha256", load.lora_sha256 } });
}

void write_sample(size_t task, const Sample & sample) {
    write_line({ { "event", "sample" },
                 { "task", task },
                 { "repetition", sample.repetition },
                 { "phase", sample.warmup ? "warmup" : "steady" },
                 { "directions", sample.directions },
                 { "passes", sample.passes },
                 { "start_ns", sample.start_ns },
                 { "wall_ns", sample.wall_ns },
                 { "cpu_ns", sample.cpu_ns } });
}

void write_probe(size_t task, const DirectionName & direction, const Slope & slope) {
    const Json name = std::visit([](const auto & seeds) { return Json(seeds); }, direction);
    write_line({ { "event", "probe" },
                 { "task", task },
                 { "direction", name },
                 { "slope", slope.value },
                 { "loss_plus", slope.loss_plus },
                 { "loss_minus", slope.loss_minus } });
}

void write_along(size_t task, const Slope & slope) {
    write_line({ { "event", "along" },
                 { "task", task },
                 { "slope", slope.value },
                 { "loss_plus", slope.loss_plus },
                 { "loss_minus", slope.loss_minus } });
}

void write_evaluation(size_t task, const Evaluation & evaluation) {
    write_line({ { "event", "evaluation" },
                 { "task", task },
                 { "loss", evaluation.loss },
                 { "positions", evaluation.positions },
                 { "predictions", evaluation.predictions },
                 { "wall_ns", evaluation.wall_ns },
                 { "cpu_ns", evaluation.cpu_ns } });
}

void write_memory(size_t task, const Memory & memory, std::optional<int64_t> predicted_bytes) {
    write_line({ { "event", "memory" },
                 { "task", task },
                 { "vm_hwm_bytes", memory.vm_hwm_bytes },
                 { "rss_anon_bytes", memory.rss_anon_bytes },
                 { "rss_file_bytes", memory.rss_file_bytes },
                 { "predicted_bytes", predicted_bytes ? Json(*predicted_bytes) : Json(nullptr) } });
}

void write_coverage(size_t task, const Coverage & coverage) {
    write_line({ { "event", "coverage" },
                 { "task", task },
                 { "on_device", coverage.on_device },
                 { "on_cpu", Json(coverage.on_cpu) } });
}

void write_prefix(size_t task, int64_t examples_computed, int64_t examples_reused) {
    write_line({ { "event", "prefix" },
                 { "task", task },
                 { "examples_computed", examples_computed },
                 { "examples_reused", examples_reused } });
}

void write_error(const std::string & message) {
    write_line({ { "event", "error" },
                 { "phase", current_activity().phase },
                 { "message", message },
                 { "file", text_or_null(current_activity().file) } });
}

void write_end(bool ok, size_t tasks_done) {
    write_line({ { "event", "end" },
                 { "status", ok ? "ok" : "error" },
                 { "tasks_done", tasks_done } });
}

}  // namespace fwdllm
