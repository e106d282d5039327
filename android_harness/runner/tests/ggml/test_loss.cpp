#include "check.h"
#include "loss.h"

#include <cmath>
#include <vector>

using namespace fwdllm;

// The definition, with libm and long double.
static double reference(const std::vector<float> & logits, int64_t target) {
    long double maximum = logits[0], sum = 0;
    for (float logit : logits) maximum = std::max<long double>(maximum, logit);
    for (float logit : logits) sum += std::exp((long double) logit - maximum);
    return double(std::log(sum) - ((long double) logits[size_t(target)] - maximum));
}

static std::vector<float> some_logits(size_t count, float spread) {
    std::vector<float> logits;
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        logits.push_back(spread * (float(state >> 8) / 8388608.0f - 1.0f));
    }
    return logits;
}

static void test_cross_entropy_is_the_definition() {
    for (size_t rows : { 2, 15, 16, 17, 33, 512, 32001 }) {
        for (float spread : { 0.0f, 0.01f, 5.0f, 80.0f, 3000.0f }) {
            const auto logits = some_logits(rows, spread);
            const int64_t target = int64_t(rows / 2);
            const auto loss = cross_entropy(logits.data(), int64_t(rows), target);
            const double expected = reference(logits, target);
            CHECK(std::fabs(loss.nats - expected) <= 1e-13 * (1 + std::fabs(expected)));
        }
    }
}

static void test_prediction_is_the_largest_logit_and_the_first_among_equals() {
    auto logits = some_logits(100, 1.0f);
    logits[41] = logits[73] = 9.0f;
    CHECK(cross_entropy(logits.data(), 100, 0).predicted == 41);
}

static void test_labels_name_rows_of_the_output_matrix() {
    const Labels all, some{ { 3, 7, 40 }, { 0, 0, 0 } };
    CHECK(all.row_of(7) == 7 && all.token_of(7) == 7);
    CHECK(some.row_of(3) == 0 && some.row_of(40) == 2 && some.token_of(1) == 7);
}

static void test_numbers_that_are_not_finite_show() {
    for (size_t place : { 0, 20, 36 }) {
        for (float bad : { float(NAN), float(INFINITY) }) {
            auto logits = some_logits(37, 1.0f);
            logits[place] = bad;
            CHECK(!std::isfinite(cross_entropy(logits.data(), 37, 1).nats));
        }
    }
}

int main() {
    test_cross_entropy_is_the_definition();
    test_prediction_is_the_largest_logit_and_the_first_among_equals();
    test_labels_name_rows_of_the_output_matrix();
    test_numbers_that_are_not_finite_show();
    return 0;
}
