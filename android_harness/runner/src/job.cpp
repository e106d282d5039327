#include "job.h"

#include "failure.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>

namespace fwdllm {

using Json = nlohmann::json;

static const int64_t k_seed_max = std::numeric_limits<int64_t>::max();  // seeds are below 2^63

// One JSON value with the place it has in the file, for messages.
struct Field {
    const Json & value;
    std::string place;

    [[noreturn]] void refuse(const std::string & what) const { throw Failure(place + ": " + what); }

    int64_t integer(int64_t low, int64_t high) const {
        const bool fits = value.is_number_integer() && representable() &&
                          value.get<int64_t>() >= low && value.get<int64_t>() <= high;
        if (!fits) {
            refuse("expected a whole number from " + std::to_string(low) + " to " +
                   std::to_string(high));
        }
        return value.get<int64_t>();
    }
    bool representable() const {  // as int64_t; JSON's whole numbers reach further
        return !value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t(k_seed_max);
    }
    double number() const {
        if (!value.is_number() || !std::isfinite(value.get<double>())) refuse("expected a number");
        return value.get<double>();
    }
    std::string text() const {
        if (!value.is_string()) refuse("expected a string");
        return value.get<std::string>();
    }
    std::vector<Field> items(size_t at_least = 0) const {
        if (!value.is_array()) refuse("expected a list");
        if (value.size() < at_least) {
            refuse("expected at least " + std::to_string(at_least) + " items");
        }
        std::vector<Field> fields;
        for (size_t i = 0; i < value.size(); i++) {
            fields.push_back({ value[i], place + "[" + std::to_string(i) + "]" });
        }
        return fields;
    }
    std::vector<int64_t> integers(int64_t low, int64_t high, size_t at_least) const {
        std::vector<int64_t> numbers;
        for (const Field & item : items(at_least)) numbers.push_back(item.integer(low, high));
        return numbers;
    }
};

// A JSON object whose fields are taken one by one; what nobody took is refused at the end.
class Object {
  public:
    explicit Object(const Field & field) : field_(field) {
        if (!field.value.is_object()) field.refuse("expected an object");
    }
    Field required(const std::string & name) {
        const auto found = optional(name);
        if (!found) field_.refuse("no field " + name);
        return *found;
    }
    std::optional<Field> optional(const std::string & name) {  // absent and null are the same
        taken_.insert(name);
        const auto found = field_.value.find(name);
        if (found == field_.value.end() || found->is_null()) return std::nullopt;
        return Field{ *found, field_.place.empty() ? name : field_.place + "." + name };
    }
    void finish() const {
        for (const auto & item : field_.value.items()) {
            if (taken_.count(item.key()) == 0) field_.refuse("unknown field " + item.key());
        }
    }

  private:
    Field field_;
    std::set<std::string> taken_;
};

static std::vector<int64_t> read_batch(Object & object) {
    return object.required("batch").integers(0, k_seed_max, 1);
}

static void read_probing(Object & object, Probing & probing) {
    probing.batch = read_batch(object);
    if (const auto field = object.optional("estimator")) {
        const std::string name = field->text();
        if (name != "central" && name != "forward") field->refuse("unknown estimator " + name);
        probing.estimator = name == "central" ? Estimator::central : Estimator::forward;
    }
    const Field epsilon = object.required("epsilon");
    probing.epsilon = epsilon.number();
    if (probing.epsilon <= 0 || !(float(probing.epsilon) > 0) || std::isinf(float(probing.epsilon))) {
        epsilon.refuse("expected a positive float32");
    }
    if (const auto field = object.optional("distribution")) {
        const std::string name = field->text();
        if (name != "rademacher" && name != "gaussian") field->refuse("unknown distribution " + name);
        probing.distribution =
            name == "rademacher" ? Distribution::rademacher : Distribution::gaussian;
    }
    if (const auto field = object.optional("directions_per_pass")) {
        probing.directions_per_pass = int(field->integer(1, 4096));
    }
    if (const auto field = object.optional("layers")) {
        const auto range = field->integers(0, k_seed_max, 2);
        if (range.size() != 2) field->refuse("expected two layers");
        probing.layers = { range[0], range[1] };
    }
}

static Task read_task(const Field & field) {
    Object object(field);
    const Field kind_field = object.required("kind");
    const std::string kind = kind_field.text();
    Task task;
    if (kind == "probe") {
        ProbeTask probe;
        read_probing(object, probe);
        for (int64_t seed : object.required("seeds").integers(0, k_seed_max, 1)) {
            probe.seeds.push_back(uint64_t(seed));
        }
        task = probe;
    } else if (kind == "time") {
        TimeTask time;
        read_probing(object, time);
        time.warmup = object.required("warmup").integer(0, 1'000'000);
        time.repetitions = object.required("repetitions").integer(1, 1'000'000);
        if (const auto minimum = object.optional("minimum_ns")) {
            time.minimum_ns = minimum->integer(0, 3'600'000'000'000);
        }
        if (const auto first = object.optional("first_seed")) {
            time.first_seed = uint64_t(first->integer(0, k_seed_max));
        }
        task = time;
    } else if (kind == "evaluate") {
        task = EvaluateTask{ read_batch(object) };
    } else {
        kind_field.refuse("unknown kind of task " + kind);
    }
    object.finish();
    return task;
}

static std::vector<int32_t> read_label_tokens(const Field & field) {
    Object object(field);
    const Field kind_field = object.required("kind");
    const std::string kind = kind_field.text();
    std::vector<int32_t> labels;
    if (kind == "verbalizer") {
        const Field tokens = object.required("tokens");
        for (int64_t token : tokens.integers(0, std::numeric_limits<int32_t>::max(), 2)) {
            labels.push_back(int32_t(token));
        }
        if (std::set<int32_t>(labels.begin(), labels.end()).size() != labels.size()) {
            tokens.refuse("a label token appears twice");
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

Job read_job(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Failure(std::string("cannot open the job: ") + strerror(errno));
    const Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) throw Failure("the job is not JSON");

    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    const auto file_path = [&](const Field & field) {
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
    if (const auto field = object.optional("lora_values")) job.lora_values = file_path(*field);
    if (const auto field = object.optional("lora_values_out")) {
        job.lora_values_out = file_path(*field);
    }
    if (const auto field = object.optional("updates")) {
        for (const Field & item : field->items()) {
            const auto pair = item.items(2);
            if (pair.size() != 2) item.refuse("expected [seed, coefficient]");
            const double coefficient = pair[1].number();
            if (!std::isfinite(float(coefficient))) pair[1].refuse("expected a float32");
            job.updates.emplace_back(uint64_t(pair[0].integer(0, k_seed_max)), coefficient);
        }
    }
    if (const auto field = object.optional("loss")) job.label_tokens = read_label_tokens(*field);
    job.threads = int(object.required("threads").integer(1, 512));
    if (const auto field = object.optional("cpu_mask")) job.cpu_mask = read_cpu_mask(*field);
    if (const auto field = object.optional("tasks")) {
        for (const Field & item : field->items()) job.tasks.push_back(read_task(item));
    }
    object.finish();
    return job;
}

}  // namespace fwdllm
