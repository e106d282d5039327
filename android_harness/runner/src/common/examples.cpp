#include "examples.h"

#include "failure.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>

namespace fwdllm {

using Json = nlohmann::json;

static std::vector<int32_t> read_ids(const Json & object, const char * name) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_array()) throw Failure(std::string("no list ") + name);
    std::vector<int32_t> ids;
    ids.reserve(found->size());
    for (const Json & item : *found) {
        if (!item.is_number_integer()) throw Failure(std::string(name) + ": not a whole number");
        const double id = item.get<double>();  // whole numbers beyond 64 bits are floats by now
        if (id < -2147483648.0 || id > 2147483647.0) {
            throw Failure(std::string(name) + ": token id out of range");
        }
        ids.push_back(item.get<int32_t>());
    }
    return ids;
}

static Example read_example(const std::string & line) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() || !json.is_object()) throw Failure("not a JSON object");
    Example example = { read_ids(json, "tokens"), read_ids(json, "targets") };
    if (json.size() != 2) throw Failure("fields other than tokens and targets");
    if (example.tokens.empty()) throw Failure("no tokens");
    if (example.tokens.size() != example.targets.size()) {
        throw Failure("tokens and targets differ in length");
    }
    return example;
}

static Failure at_line(size_t index, const std::string & what) {
    return Failure("line " + std::to_string(index + 1) + ": " + what);
}

std::vector<Example> read_examples(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Failure(std::string("cannot open: ") + strerror(errno));
    std::vector<Example> examples;
    for (std::string line; std::getline(file, line);) {
        try {
            examples.push_back(read_example(line));
        } catch (const Failure & failure) {
            throw at_line(examples.size(), failure.what());
        }
    }
    if (examples.empty()) throw Failure("no examples");
    return examples;
}

// What is wrong with a target, if anything is.
static std::optional<std::string> wrong_target(int32_t target, const ExampleLimits & limits) {
    const auto & labels = limits.label_tokens;
    const std::string name = "target " + std::to_string(target);
    if (!labels.empty()) {
        const bool known = std::find(labels.begin(), labels.end(), target) != labels.end();
        return known ? std::nullopt : std::make_optional(name + " is not a label token");
    }
    const int64_t count = limits.classes.value_or(limits.vocabulary);
    if (target >= 0 && target < count) return std::nullopt;
    return name + (limits.classes ? " is not one of the classes, of which there are "
                                  : " is outside the vocabulary of ") + std::to_string(count);
}

void check_examples(const std::vector<Example> & examples, const ExampleLimits & limits) {
    const auto & labels = limits.label_tokens;
    for (int32_t label : labels) {
        if (label >= limits.vocabulary) {
            throw Failure("label token " + std::to_string(label) + " is outside the vocabulary of " +
                          std::to_string(limits.vocabulary));
        }
    }
    for (size_t i = 0; i < examples.size(); i++) {
        const Example & example = examples[i];
        if (int64_t(example.tokens.size()) > limits.context) {
            throw at_line(i, std::to_string(example.tokens.size()) + " tokens, the model reads " +
                                 std::to_string(limits.context));
        }
        for (int32_t token : example.tokens) {
            if (token < 0 || token >= limits.vocabulary) {
                throw at_line(i, "token " + std::to_string(token) + " is outside the vocabulary of " +
                                     std::to_string(limits.vocabulary));
            }
        }
        int64_t targets = 0;
        for (int32_t target : example.targets) {
            if (target == k_no_target) continue;
            targets++;
            if (const auto wrong = wrong_target(target, limits)) throw at_line(i, *wrong);
        }
        if (limits.classes && targets > 1) {
            throw at_line(i, std::to_string(targets) + " targets, an encoder's example has one");
        }
    }
}

const Example & example_at(const std::vector<Example> & examples, int64_t line) {
    if (line < 0 || size_t(line) >= examples.size()) {
        throw Failure("the batch asks for line " + std::to_string(line) + " (from 0) of " +
                      std::to_string(examples.size()) + " examples");
    }
    return examples[size_t(line)];
}

Batch pack_examples(const std::vector<Example> & examples, const std::vector<int64_t> & lines) {
    for (int64_t line : lines) example_at(examples, line);
    const auto example = [&](size_t member) -> const Example & {
        return examples[size_t(lines[member])];
    };
    std::vector<size_t> members(lines.size());  // by length; equal lengths keep their order
    std::iota(members.begin(), members.end(), 0);
    std::stable_sort(members.begin(), members.end(), [&](size_t a, size_t b) {
        return example(a).tokens.size() < example(b).tokens.size();
    });
    std::vector<size_t> loss_rows_before(lines.size() + 1, 0);  // in the given order
    for (size_t member = 0; member < lines.size(); member++) {
        const auto & targets = example(member).targets;
        loss_rows_before[member + 1] =
            loss_rows_before[member] + targets.size() -
            size_t(std::count(targets.begin(), targets.end(), k_no_target));
    }

    Batch batch;
    for (size_t member : members) {
        const Example & e = example(member);
        const int64_t length = int64_t(e.tokens.size());
        if (batch.groups.empty() || batch.groups.back().length != length) {
            batch.groups.push_back({ int64_t(batch.tokens.size()), length, 0 });
        }
        batch.groups.back().count++;
        batch.lines.push_back(lines[member]);
        size_t rank = loss_rows_before[member];
        for (size_t t = 0; t < e.tokens.size(); t++) {
            if (e.targets[t] != k_no_target) {
                batch.loss_rows.push_back(int32_t(batch.tokens.size()));
                batch.targets.push_back(e.targets[t]);
                batch.order.push_back(rank++);
            }
            batch.tokens.push_back(e.tokens[t]);
            batch.positions.push_back(int32_t(t));
        }
    }
    return batch;
}

Batch pack_batch(const std::vector<Example> & examples, const std::vector<int64_t> & lines) {
    Batch batch = pack_examples(examples, lines);
    if (batch.targets.empty()) throw Failure("no example of the batch has a target");
    return batch;
}

}  // namespace fwdllm
