// JSON from a file, taken field by field: what does not fit is a Failure that names its place.
#pragma once

#include "failure.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace fwdllm {

// One JSON value with the place it has in the file, for messages.
struct Field {
    const nlohmann::json & value;
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
        return !value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t(std::numeric_limits<int64_t>::max());
    }
    double number() const {
        if (!value.is_number() || !std::isfinite(value.get<double>())) refuse("expected a number");
        return value.get<double>();
    }
    float float32() const {
        const float nearest = float(number());
        if (!std::isfinite(nearest)) refuse("expected a float32");
        return nearest;
    }
    bool boolean() const {
        if (!value.is_boolean()) refuse("expected true or false");
        return value.get<bool>();
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

}  // namespace fwdllm
