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

std::string version_line(const Hello & hello) {
    return "fwdllm-runner " FWDLLM_RUNNER_VERSION ", " + hello.engine + " " +
           hello.engine_version + ", " + k_architecture;
}

static Json devices(const Hello & hello) {
    Json list = Json::array();
    for (const Hello::Device & device : hello.devices) {
        list.push_back({ { "name", device.name },
                         { "description", device.description },
                         { "kind", device.kind },
                         { "memory_total_bytes", device.memory_total_bytes } });
    }
    return list;
}

void write_hello(const Hello & hello) {
    write_line({ { "event", "hello" },
                 { "schema_version", 1 },
                 { "runner_version", FWDLLM_RUNNER_VERSION },
                 { "engine", hello.engine },
                 { "engine_version", hello.engine_version },
                 { "compiler", k_compiler },
                 { "architecture", k_architecture },
                 { "features", Json(hello.features) },
                 { "devices", devices(hello) },
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
                 { "phase", sample.phase },
                 { "directions", sample.directions },
                 { "passes", sample.passes },
                 { "start_ns", sample.start_ns },
                 { "wall_ns", sample.wall_ns },
                 { "cpu_ns", sample.cpu_ns } });
}

void write_warmup(size_t task, const Warmup & warmup) {
    write_line({ { "event", "warmup" },
                 { "task", task },
                 { "settled", warmup.settled() },
                 { "repetitions", warmup.repetitions() },
                 { "wall_ns", warmup.wall_ns() } });
}

void write_pace(size_t task, const char * when, int64_t wall_ns) {
    write_line({ { "event", "pace" },
                 { "task", task },
                 { "when", when },
                 { "wall_ns", wall_ns } });
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

void write_operators(size_t task, int64_t directions, const std::vector<OperatorTime> & operators) {
    Json list = Json::array();
    for (const OperatorTime & time : operators) {
        list.push_back({ { "program", time.program },
                         { "place", time.place },
                         { "name", time.name },
                         { "calls", time.calls },
                         { "wall_ns", time.wall_ns } });
    }
    write_line({ { "event", "operators" },
                 { "task", task },
                 { "directions", directions },
                 { "operators", list } });
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
