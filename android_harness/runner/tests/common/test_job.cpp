#include "check.h"
#include "job.h"

#include <nlohmann/json.hpp>

using namespace fwdllm;
using Json = nlohmann::json;

static Json good_job() {
    return Json::parse(R"({
        "schema_version": 1, "model": "m.gguf", "adapter": "/a/a.gguf", "examples": "e.jsonl",
        "lora_values": null, "lora_values_out": "o",
        "updates": [
            {"pairs": [[9223372036854775807, -0.5], [[0, 7], 0.1]]},
            {"distribution": "gaussian", "pairs": [],
             "support": {"layers": [0, 3], "matrices": "B", "head": false}}],
        "loss": {"kind": "verbalizer", "tokens": [3, 4], "shifts": [-0.5, 0.25]}, "threads": 2, "cpu_mask": "0xF0",
        "tasks": [
            {"kind": "probe", "batch": [0, 1], "estimator": "forward", "epsilon": 0.01,
             "distribution": "gaussian", "directions_per_pass": 4,
             "support": {"layers": [1, 2], "matrices": "AB", "head": true},
             "directions": [0, [1, 2, 3]]},
            {"kind": "time", "batch": [0], "epsilon": 1, "repetitions": 3,
             "warmup": {"least": 9, "most_ms": 500, "tolerance": 0.1}},
            {"kind": "evaluate", "batch": [5]},
            {"kind": "along", "batch": [2], "epsilon": 0.5, "direction": "u.f32"}
        ]})");
}

static Job read(const Json & json) { return read_job(TemporaryFile(json.dump()).path); }

static std::string refusal(const Json & json) {
    return failure_of([&] { read(json); });
}

static void test_everything_is_read() {
    const TemporaryFile file(good_job().dump());
    const Job job = read_job(file.path);
    const std::string folder = file.path.substr(0, file.path.rfind('/') + 1);
    CHECK(job.model == folder + "m.gguf");
    CHECK(job.adapter == "/a/a.gguf");
    CHECK(!job.lora_values && *job.lora_values_out == folder + "o");
    CHECK(job.updates.size() == 2);
    const Combination & update = job.updates[0];
    CHECK(update.distribution == Distribution::rademacher);
    CHECK(!update.support.layers && !update.support.b_only);
    CHECK(std::get<uint64_t>(update.pairs[0].first) == 9223372036854775807u);
    CHECK(update.pairs[0].second == -0.5f && update.pairs[1].second == 0.1f);
    CHECK((std::get<1>(update.pairs[1].first) == std::vector<uint64_t>{ 0, 7 }));
    CHECK(job.updates[1].distribution == Distribution::gaussian && job.updates[1].pairs.empty());
    CHECK(job.updates[1].support.b_only && job.updates[1].support.layers->second == 3);
    CHECK((job.labels.tokens == std::vector<int32_t>{ 3, 4 }));
    CHECK((job.labels.shifts == std::vector<float>{ -0.5f, 0.25f }));
    CHECK(job.threads == 2 && *job.cpu_mask == "0xF0");
    CHECK(job.tasks.size() == 4);
    const auto & probe = std::get<ProbeTask>(job.tasks[0]);
    CHECK(probe.estimator == Estimator::forward && probe.distribution == Distribution::gaussian);
    CHECK(probe.directions_per_pass == 4 && !probe.support.b_only);
    CHECK(probe.support.layers->first == 1 && probe.support.layers->second == 2);
    CHECK(std::get<uint64_t>(probe.directions[0]) == 0);
    CHECK((std::get<1>(probe.directions[1]) == std::vector<uint64_t>{ 1, 2, 3 }));
    const auto & time = std::get<TimeTask>(job.tasks[1]);
    CHECK(time.estimator == Estimator::central && !time.directions_per_pass);
    CHECK(time.warmup.least == 9 && time.warmup.most_ns == 500'000'000);
    CHECK(time.warmup.tolerance == 0.1);
    CHECK(time.first_seed == 1 && time.repetitions == 3 && !time.support.layers);
    CHECK(std::get<EvaluateTask>(job.tasks[2]).batch[0] == 5);
    const auto & along = std::get<AlongTask>(job.tasks[3]);
    CHECK(along.direction == folder + "u.f32" && along.estimator == Estimator::central);
    CHECK(along.batch[0] == 2 && along.epsilon == 0.5);
}

static void test_fields_with_defaults_may_be_absent() {
    Json json = { { "model", "m" }, { "adapter", "a" }, { "examples", "e" }, { "threads", 1 } };
    const Job job = read(json);
    CHECK(job.tasks.empty() && job.updates.empty() && job.labels.tokens.empty() && !job.cpu_mask);
}

// Sets the value at a JSON pointer; the message must name the place.
static void refused(const char * pointer, const Json & value, const char * place) {
    Json json = good_job();
    json[Json::json_pointer(pointer)] = value;
    const std::string message = refusal(json);
    if (!contains(message, place)) {
        fprintf(stderr, "%s: expected a message about %s, got: %s\n", pointer, place, message.c_str());
        exit(1);
    }
}

static void test_wrong_values_are_refused_by_name() {
    refused("/schema_version", 2, "schema_version");
    refused("/model", 7, "model");
    refused("/model", "", "model");
    refused("/surprise", 1, "unknown field surprise");
    refused("/threads", 0, "threads");
    refused("/threads", 2.0, "threads");
    refused("/threads", "2", "threads");
    refused("/threads", true, "threads");
    refused("/threads", 18446744073709551615u, "threads");
    refused("/cpu_mask", "f0", "cpu_mask");
    refused("/cpu_mask", "0x", "cpu_mask");
    refused("/cpu_mask", "0x" + std::string(129, 'f'), "cpu_mask");
    refused("/updates/0", { 1, 0.5 }, "updates[0]: expected an object");
    refused("/updates/0", { { "distribution", "gaussian" } }, "updates[0]: no field pairs");
    refused("/updates/0/distribution", "uniform", "updates[0].distribution");
    refused("/updates/0/coefficient", 1, "updates[0]: unknown field coefficient");
    refused("/updates/0/pairs/0", { 1 }, "updates[0].pairs[0]");
    refused("/updates/0/pairs/0", { 1, 2, 3 }, "updates[0].pairs[0]");
    refused("/updates/0/pairs/0/0", -1, "updates[0].pairs[0][0]");
    refused("/updates/0/pairs/0/0", 9223372036854775808u, "updates[0].pairs[0][0]");
    refused("/updates/0/pairs/1/0/1", -1, "updates[0].pairs[1][0][1]");
    refused("/updates/0/pairs/0/1", "x", "updates[0].pairs[0][1]");
    refused("/updates/0/pairs/0/1", 1e300, "updates[0].pairs[0][1]");
    refused("/updates/0/pairs/0/1", nullptr, "updates[0].pairs[0][1]");
    refused("/updates/1/support/layers", { 1 }, "updates[1].support.layers");
    refused("/updates/1/support/matrices", "A", "updates[1].support.matrices");
    refused("/updates/1/support/head", 1, "updates[1].support.head");
    refused("/updates/1/support/rows", 1, "updates[1].support: unknown field rows");
    refused("/loss", { { "kind", "hinge" } }, "loss.kind");
    refused("/loss/tokens", { 3 }, "loss.tokens");
    refused("/loss/tokens", { 3, 3 }, "loss.tokens");
    refused("/loss/shifts", { 1 }, "loss.shifts: expected one for each token");
    refused("/loss/shifts", { 1, "x" }, "loss.shifts[1]");
    refused("/loss/weight", 1, "loss: unknown field weight");
    refused("/tasks", { { "kind", "probe" } }, "tasks");
    refused("/tasks/0/kind", "dance", "tasks[0].kind");
    refused("/tasks/0/batch", Json::array(), "tasks[0].batch");
    refused("/tasks/0/batch/1", -1, "tasks[0].batch[1]");
    refused("/tasks/0/estimator", "backward", "tasks[0].estimator: unknown");
    refused("/memory_bytes", 0, "memory_bytes");
    refused("/prefix", { { "bytes", 0 } }, "prefix.bytes");
    refused("/prefix", { { "bytes", 1 }, { "precision", "int8" } }, "prefix.precision");
    refused("/prefix", { { "bytes", 1 }, { "folder", "kept" } }, "prefix.folder");
    refused("/prefix", { { "bytes", 1 }, { "size", 1 } }, "prefix: unknown field size");
    refused("/tasks/0/distribution", "uniform", "tasks[0].distribution");
    refused("/tasks/0/refine", 1, "tasks[0].refine");
    refused("/tasks/0/epsilon", 0, "tasks[0].epsilon");
    refused("/tasks/0/epsilon", 1e-60, "tasks[0].epsilon");
    refused("/tasks/0/epsilon", 1e60, "tasks[0].epsilon");
    refused("/tasks/0/directions_per_pass", 0, "tasks[0].directions_per_pass");
    refused("/tasks/0/support", 1, "tasks[0].support");
    refused("/tasks/0/support/layers", { 1, 2, 3 }, "tasks[0].support.layers");
    refused("/tasks/0/directions", Json::array(), "tasks[0].directions");
    refused("/tasks/0/directions/1/2", "x", "tasks[0].directions[1][2]");
    refused("/tasks/0/warmup", 1, "tasks[0]: unknown field warmup");
    refused("/tasks/1/warmup", 2, "tasks[1].warmup: expected an object");
    refused("/tasks/1/warmup/least", -1, "tasks[1].warmup.least");
    refused("/tasks/1/warmup/most_ms", 3'600'001, "tasks[1].warmup.most_ms");
    refused("/tasks/1/warmup/tolerance", 0, "tasks[1].warmup.tolerance");
    refused("/tasks/1/warmup/most_s", 1, "tasks[1].warmup: unknown field most_s");
    refused("/tasks/1/repetitions", 0, "tasks[1].repetitions");
    refused("/tasks/3/direction", 7, "tasks[3].direction");
    refused("/tasks/3/directions", 7, "tasks[3]: unknown field directions");
    refused("/tasks/2/epsilon", 0.1, "tasks[2]: unknown field epsilon");
}

static void test_names_must_fit_the_adapter() {
    Json json = good_job();
    check_names(read(json.patch(Json::parse(R"([
        {"op": "replace", "path": "/updates/0/pairs/1/0", "value": [1, 2, 3]}])"))), 3);
    for (size_t matrices : { 2, 3 }) {  // of the update's name, of the probe's
        CHECK(contains(failure_of([&] { check_names(read(json), matrices); }),
                       matrices == 2 ? "names 3 seeds" : "names 2 seeds"));
    }
}

static void test_missing_fields_are_named() {
    for (const char * name : { "model", "adapter", "examples", "threads" }) {
        Json json = good_job();
        json.erase(name);
        CHECK(contains(refusal(json), std::string("no field ") + name));
    }
}

static void test_what_is_no_job_at_all() {
    const auto refuses = [](const std::string & text) {
        return failure_of([&] { read_job(TemporaryFile(text).path); });
    };
    CHECK(contains(refuses(""), "not JSON"));
    CHECK(contains(refuses("{\"model\": "), "not JSON"));
    CHECK(contains(refuses("[]"), "expected an object"));
    CHECK(contains(refuses(std::string(100000, '[')), "not JSON"));
    CHECK(contains(failure_of([] { read_job("/no/such/job.json"); }), "cannot open"));
}

int main() {
    test_everything_is_read();
    test_fields_with_defaults_may_be_absent();
    test_wrong_values_are_refused_by_name();
    test_names_must_fit_the_adapter();
    test_missing_fields_are_named();
    test_what_is_no_job_at_all();
    return 0;
}
