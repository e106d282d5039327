#include "check.h"
#include "directions.h"
#include "sha256.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <vector>

using namespace fwdllm;

static std::vector<float> direction(uint64_t seed, Distribution distribution, size_t parameters) {
    std::vector<float> values(parameters, 0.0f);
    add_direction(seed, distribution, 1.0f, 0, parameters, values.data(), values.data());
    return values;
}

static void test_frozen_vectors() {
    std::ifstream file(getenv("DIRECTIONS_VECTORS"));
    CHECK(file.good());
    int rademacher = 0, gaussian = 0;
    const auto json = nlohmann::json::parse(file);
    for (const auto & vector : json["vectors"]) {
        const uint64_t seed = vector["seed"];
        const size_t parameters = vector["parameters"];
        if (vector["distribution"] == "rademacher") {
            const auto values = direction(seed, Distribution::rademacher, parameters);
            const std::string signs = vector["first_signs"];
            for (size_t i = 0; i < signs.size(); i++) {
                CHECK(values[i] == (signs[i] == '-' ? -1.0f : 1.0f));
            }
            CHECK(sha256_hex(values.data(), values.size() * 4) == vector["sha256"]);
            rademacher++;
        } else {
            const auto values = direction(seed, Distribution::gaussian, parameters);
            for (size_t i = 0; i < parameters; i++) {
                CHECK(std::fabs(values[i] - vector["values"][i].get<double>()) < 1e-6);
            }
            gaussian++;
        }
    }
    CHECK(rademacher > 0 && gaussian > 0);
}

// Tensors begin and end anywhere in the flat vector: every part equals its place in the whole.
static void test_any_part_can_be_made_alone() {
    for (Distribution distribution : { Distribution::rademacher, Distribution::gaussian }) {
        const auto whole = direction(9, distribution, 600);
        for (size_t first : { 0, 1, 31, 32, 33, 63, 64, 65, 255, 256, 300 }) {
            for (size_t count : { 0, 1, 2, 31, 32, 64, 65, 129, 300 }) {
                std::vector<float> part(count, 0.0f);
                add_direction(9, distribution, 1.0f, first, count, part.data(), part.data());
                for (size_t i = 0; i < count; i++) CHECK(part[i] == whole[first + i]);
            }
        }
    }
}

static void test_a_step_is_one_rounding_of_a_product_and_a_sum() {
    for (Distribution distribution : { Distribution::rademacher, Distribution::gaussian }) {
        const auto v = direction(3, distribution, 100);
        std::vector<float> x(100), y(100);
        for (size_t i = 0; i < 100; i++) x[i] = 0.1f * float(i);
        add_direction(3, distribution, 1e-3f, 0, 100, x.data(), y.data());
        for (size_t i = 0; i < 100; i++) {
            const volatile float product = 1e-3f * v[i];
            CHECK(y[i] == x[i] + product);
        }
    }
}

int main() {
    test_frozen_vectors();
    test_any_part_can_be_made_alone();
    test_a_step_is_one_rounding_of_a_product_and_a_sum();
    return 0;
}
