#include "job.h"

#include "failure.h"
#include "json_fields.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>

namespace fwdllm {

using Json = nlohmann::json;

static const int64_t k_seed_max = std::numeric_limits<int64_t>::max();  // seeds are below 2^63

static std::vector<int64_t> read_batch(Object & object) {
    return object.required("batch").integers(0, k_seed_max, 1);
}

static Distribution read_distribution(Object & object) {
    const auto field = object.optional("distribution");
    const std::string name = field ? field->text() : "rademacher";
    if (name == "gaussian") return Distribution::gaussian;
    if (name != "rademacher") field->refuse("unknown distribution " + name);
    return Distribution::rademacher;
}

static Support read_support(Object & parent) {
    Support support;
    const auto field = parent.optional("support");
    if (!field) return support;
    Object object(*field);
    if (const auto layers = object.optional("layers")) {
        const auto range = layers->integers(0, k_seed_max, 2);
        if (range.size() != 2) layers->refuse("expected two layers");
        support.layers = { range[0], range[1] };
    }
    if (const auto matrices = object.optional("matrices")) {
        const std::string name = matrices->text();
        if (name != "AB" && name != "B") matrices->refuse("expected AB or B");
        support.b_only = name == "B";
    }
    // A classification head: no model that is read here has one.
    if (const auto head = object.optional("head")) head->boolean();
    object.finish();
    return support;
}

static DirectionName read_name(const Field & field) {
    if (!field.value.is_array()) return uint64_t(field.integer(0, k_seed_max));
    std::vector<uint64_t> seeds;
    for (int64_t seed : field.integers(0, k_seed_max, 0)) seeds.push_back(uint64_t(seed));
    return seeds;
}

static Combination read_combination(const Field & field) {
    Object object(field);
    Combination combination;
    combination.distribution = read_distribution(object);
    combination.support = read_support(object);
    for (const Field & item : object.required("pairs").items()) {
        const auto pair = item.items(2);
        if (pair.size() != 2) item.refuse("expected [direction, coefficient]");
        combination.pairs.emplace_back(read_name(pair[0]), pair[1].float32());
    }
    object.finish();
    return combination;
}

static void read_measuring(Object & object, Measuring & measuring) {
    measuring.batch = read_batch(object);
    if (const auto field = object.optional("estimator")) {
        const std::string name = field->text();
        if (name == "central") {
            measuring.estimator = Estimator::central;
        } else if (name == "forward") {
            measuring.estimator = Estimator::forward;
        } else if (name == "tangent") {
            measuring.estimator = Estimator::tangent;
        } else {
            field->refuse("unknown estimator " + name);
        }
    }
    const auto epsilon = measuring.estimator == Estimator::tangent ? object.optional("epsilon")
                                                                   : object.required("epsilon");
    if (const auto field = object.optional("refine")) measuring.refine = field->boolean();
    if (epsilon) {
        measuring.epsilon = epsilon->number();
        if (!(epsilon->float32() > 0)) epsilon->refuse("expected a positive float32");
    }
}

static void read_probing(Object & object, Probing & probing) {
    read_measuring(object, probing);
    probing.distribution = read_distribution(object);
    if (const auto field = object.optional("directions_per_pass")) {
        probing.directions_per_pass = int(field->integer(1, 4096));
    }
    probing.support = read_support(object);
}

static WarmupRule read_warmup(const Field & field) {
    Object object(field);
    WarmupRule rule;
    if (const auto least = object.optional("least")) rule.least = least->integer(0, 1'000'000);
    if (const auto most = object.optional("most_ms")) {
        rule.most_ns = most->integer(0, 3'600'000) * 1'000'000;
    }
    if (const auto tolerance = object.optional("tolerance")) {
        rule.tolerance = tolerance->number();
        if (!(rule.tolerance > 0)) tolerance->refuse("expected a positive number");
    }
    object.finish();
    return rule;
}

// A path as it stands in the job -> one that the runner can open.
using PathReader = std::function<std::string(const Field &)>;

static Task read_task(const Field & field, const PathReader & file_path) {
    Object object(field);
    const Field kind_field = object.required("kind");
    const std::string kind = kind_field.text();
    Task task;
    if (kind == "probe") {
        ProbeTask probe;
        read_probing(object, probe);
        for (const Field & item : object.required("directions").items(1)) {
            probe.directions.push_back(read_name(item));
        }
        task = probe;
    } else if (kind == "along") {
        AlongTask along;
        read_measuring(object, along);
        along.direction = file_path(object.required("direction"));
        task = along;
    } else if (kind == "time") {
        TimeTask time;
        read_probing(object, time);
        if (const auto warmup = object.optional("warmup")) time.warmup = read_warmup(*warmup);
        time.repetitions = object.required("repetitions").integer(1, 1'000'000);
        if (const auto minimum = object.optional("minimum_ns")) {
            time.minimum_ns = minimum->integer(0, 3'600'000'000'000);
        }
        if (const auto first = object.optional("first_seed")) {
            time.first_seed = uint64_t(first->integer(0, k_seed_max));
        }
        if (const auto field = object.optional("operators")) time.operators = field->boolean();
        task = time;
    } else if (kind == "evaluate") {
        task = EvaluateTask{ read_batch(object) };
    } else {
        kind_field.refuse("unknown kind of task " + kind);
    }
    object.finish();
    return task;
}

static Labels read_labels(const Field & field) {
    Object object(field);
    const Field kind_field = object.required("kind");
    const std::string kind = kind_field.text();
    Labels labels;
    if (kind == "verbalizer") {
        const Field tokens = object.required("tokens");
        const auto ids = tokens.integers(0, std::numeric_limits<int32_t>::max(), 2);
        std::vector<float> shifts;
        if (const auto field = object.optional("shifts")) {
            for (const Field & shift : field->items()) shifts.push_back(shift.float32());
            if (!shifts.empty() && shifts.size() != ids.size()) {
                field->refuse("expected one for each token, or none");
            }
        }
        shifts.resize(ids.size());
        std::map<int32_t, float> by_token;
        for (size_t i = 0; i < ids.size(); i++) by_token[int32_t(ids[i])] = shifts[i];
        if (by_token.size() != ids.size()) tokens.refuse("a label token appears twice");
        for (const auto & [token, shift] : by_token) {
            labels.tokens.push_back(token);
            labels.shifts.push_back(shift);
        }
    } else if (kind != "vocabulary") {
        kind_field.refuse("unknown kind of loss " + kind);
    }
    object.finish();
    return labels;
}

static std::string read_cpu_mask(const Field & field) {
    const std::string mask = field.text();
    const bool hexadecimal = mask.size() > 2 && mask.size() <= 130 && mask.compare(0, 2, "0x") == 0 &&
                             mask.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string::npos;
    if (!hexadecimal) field.refuse("expected a hexadecimal mask such as 0xf0");
    return mask;
}

static PrefixPolicy read_prefix(const Field & field, const PathReader & file_path) {
    Object object(field);
    PrefixPolicy policy;
    policy.bytes = size_t(object.required("bytes").integer(1, k_seed_max));
    if (const auto precision = object.optional("precision")) {
        const std::string name = precision->text();
        if (name != "float16" && name != "float32") precision->refuse("unknown precision " + name);
        policy.half = name == "float16";
    }
    const auto folder = object.optional("folder"), hash = object.optional("model_sha256");
    if (folder) policy.folder = file_path(*folder);
    if (hash) policy.model_sha256 = hash->text();
    if (folder && !hash) folder->refuse("states that are kept in a folder need model_sha256");
    object.finish();
    return policy;
}

static std::map<std::string, std::string> read_files(const Field & field,
                                                     const PathReader & file_path) {
    if (!field.value.is_object()) field.refuse("expected an object");
    std::map<std::string, std::string> files;
    for (const auto & item : field.value.items()) {
        files[item.key()] = file_path({ item.value(), field.place + "." + item.key() });
    }
    return files;
}

Job read_job(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Failure(std::string("cannot open the job: ") + strerror(errno));
    const Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) throw Failure("the job is not JSON");

    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    const PathReader file_path = [&](const Field & field) {
        const std::string name = field.text();
        if (name.empty()) field.refuse("expected a path");
        return name[0] == '/' ? name : folder + name;
    };

    Object object({ json, "" });
    Job job;
    if (const auto version = object.optional("schema_version")) version->integer(1, 1);
    job.model = file_path(object.required("model"));
    job.adapter = file_path(object.required("adapter"));
    job.examples = file_path(object.required("examples"));
    if (const auto field = object.optional("files")) job.files = read_files(*field, file_path);
    if (const auto field = object.optional("lora_values")) job.lora_values = file_path(*field);
    if (const auto field = object.optional("lora_values_out")) {
        job.lora_values_out = file_path(*field);
    }
    if (const auto field = object.optional("updates")) {
        for (const Field & item : field->items()) job.updates.push_back(read_combination(item));
    }
    if (const auto field = object.optional("loss")) job.labels = read_labels(*field);
    job.threads = int(object.required("threads").integer(1, 512));
    if (const auto field = object.optional("cpu_mask")) job.cpu_mask = read_cpu_mask(*field);
    if (const auto field = object.optional("memory_bytes")) {
        job.memory_bytes = size_t(field->integer(1, k_seed_max));
    }
    if (const auto field = object.optional("prefix")) job.prefix = read_prefix(*field, file_path);
    if (const auto field = object.optional("device")) job.device = field->text();
    if (const auto field = object.optional("tasks")) {
        for (const Field & item : field->items()) {
            job.tasks.push_back(read_task(item, file_path));
        }
    }
    object.finish();
    return job;
}

static void check_name(const DirectionName & name, size_t matrices) {
    const auto * seeds = std::get_if<std::vector<uint64_t>>(&name);
    if (seeds != nullptr && seeds->size() != matrices) {
        throw Failure("a direction names " + std::to_string(seeds->size()) +
                      " seeds, the adapter has " + std::to_string(matrices) + " matrices");
    }
}

void check_names(const Job & job, size_t matrices) {
    for (const Combination & combination : job.updates) {
        for (const auto & [name, coefficient] : combination.pairs) check_name(name, matrices);
    }
    for (const Task & task : job.tasks) {
        const ProbeTask * probe = std::get_if<ProbeTask>(&task);
        if (probe == nullptr) continue;
        for (const DirectionName & name : probe->directions) check_name(name, matrices);
    }
}

}  // namespace fwdllm
