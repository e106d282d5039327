#include "check.h"
#include "loss.h"

#include <cmath>
#include <vector>

using namespace fwdllm;

// The definition, with libm and long double.
static double reference(const std::vector<float> & logits, int32_t target) {
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

static Labels labels(std::vector<int32_t> tokens) {
    const size_t count = tokens.size();
    return { std::move(tokens), std::vector<float>(count) };
}

static void test_vocabulary_loss_is_the_definition() {
    for (size_t vocabulary : { 2, 15, 16, 17, 33, 512, 32001 }) {
        for (float spread : { 0.0f, 0.01f, 5.0f, 80.0f, 3000.0f }) {
            const auto logits = some_logits(vocabulary, spread);
            const int32_t target = int32_t(vocabulary / 2);
            const auto loss = vocabulary_loss(logits.data(), int64_t(vocabulary), target);
            const double expected = reference(logits, target);
            CHECK(std::fabs(loss.nats - expected) <= 1e-13 * (1 + std::fabs(expected)));
        }
    }
}

static void test_prediction_is_the_largest_logit_and_the_first_among_equals() {
    auto logits = some_logits(100, 1.0f);
    logits[41] = logits[73] = 9.0f;
    CHECK(vocabulary_loss(logits.data(), 100, 0).predicted == 41);
    CHECK(verbalizer_loss(logits.data(), labels({ 73, 5, 41 }), 5).predicted == 41);
    const int32_t larger = logits[5] >= logits[6] ? 5 : 6;
    CHECK(verbalizer_loss(logits.data(), labels({ 5, 6 }), 5).predicted == larger);
}

static void test_verbalizer_loss_sees_its_labels_alone() {
    std::vector<float> logits = { 100.0f, 1.0f, 2.0f, -50.0f };
    const double expected = std::log(1.0 + std::exp(1.0));  // labels 1 and 2, target 1
    CHECK(std::fabs(verbalizer_loss(logits.data(), labels({ 1, 2 }), 1).nats - expected) < 1e-14);
}

static void test_shifts_are_added_to_the_labels_logits() {
    const std::vector<float> logits = { 100.0f, 1.0f, 2.0f, -50.0f };
    const auto loss = verbalizer_loss(logits.data(), { { 2, 1 }, { -1.5f, 0.5f } }, 2);
    CHECK(std::fabs(loss.nats - std::log(1.0 + std::exp(1.0))) < 1e-14);  // 0.5 against 1.5
    CHECK(loss.predicted == 1);
}

static void test_numbers_that_are_not_finite_show() {
    for (size_t place : { 0, 20, 36 }) {
        for (float bad : { float(NAN), float(INFINITY) }) {
            auto logits = some_logits(37, 1.0f);
            logits[place] = bad;
            CHECK(!std::isfinite(vocabulary_loss(logits.data(), 37, 1).nats));
        }
    }
}

int main() {
    test_vocabulary_loss_is_the_definition();
    test_prediction_is_the_largest_logit_and_the_first_among_equals();
    test_verbalizer_loss_sees_its_labels_alone();
    test_shifts_are_added_to_the_labels_logits();
    test_numbers_that_are_not_finite_show();
    return 0;
}
