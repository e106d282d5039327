#include "check.h"
#include "parameter_matrix.h"

#include <vector>

using namespace fwdllm;

// Two layers with A (2 × 35) and B (33 × 2) of one module: nothing ends at a word of the stream.
static const std::vector<ParameterMatrix> k_matrices = {
    { 0, false, 2, 35, 0 },
    { 0, true, 33, 2, 70 },
    { 1, false, 2, 35, 136 },
    { 1, true, 33, 2, 206 },
};
static const size_t k_parameters = 272;

static std::vector<float> start() {
    std::vector<float> values(k_parameters);
    for (size_t i = 0; i < k_parameters; i++) values[i] = 0.01f * float(i);
    return values;
}

// start() + 0.3 · direction, and for each matrix whether it moves.
static std::vector<float> moved(const Direction & direction, std::vector<bool> * moves = nullptr) {
    std::vector<float> values = start();
    for (size_t i = 0; i < k_matrices.size(); i++) {
        float * piece = values.data() + k_matrices[i].offset;
        const bool does = add_piece(direction, 0.3f, k_matrices[i], i, piece, piece);
        if (moves != nullptr) moves->push_back(does);
    }
    return values;
}

static std::vector<float> whole(uint64_t seed, Distribution distribution) {
    std::vector<float> values = start();
    add_direction(seed, distribution, 0.3f, 0, k_parameters, values.data(), values.data());
    return values;
}

static void test_pieces_of_one_seed_make_its_whole_direction() {
    for (Distribution distribution : { Distribution::rademacher, Distribution::gaussian }) {
        CHECK(moved(NamedDirection{ uint64_t(5), distribution, {} }) == whole(5, distribution));
    }
}

static void test_a_seed_for_each_matrix_makes_its_own_piece() {
    const std::vector<uint64_t> seeds = { 7, 8, 7, 9 };
    for (Distribution distribution : { Distribution::rademacher, Distribution::gaussian }) {
        const auto values = moved(NamedDirection{ seeds, distribution, {} });
        for (size_t m = 0; m < k_matrices.size(); m++) {
            const auto expected = whole(seeds[m], distribution);
            for (size_t i = k_matrices[m].offset, end = i + k_matrices[m].size(); i < end; i++) {
                CHECK(values[i] == expected[i]);
            }
        }
    }
}

static void test_nothing_moves_outside_the_support() {
    const auto moving = [](const Support & support) {
        std::vector<bool> moves;
        const auto values = moved(NamedDirection{ uint64_t(5), Distribution::rademacher, support },
                                  &moves);
        const auto before = start(), all = whole(5, Distribution::rademacher);
        for (size_t m = 0; m < k_matrices.size(); m++) {
            for (size_t i = k_matrices[m].offset, end = i + k_matrices[m].size(); i < end; i++) {
                CHECK(values[i] == (moves[m] ? all[i] : before[i]));
            }
        }
        return moves;
    };
    using Moves = std::vector<bool>;
    CHECK((moving({}) == Moves{ true, true, true, true }));
    CHECK((moving({ {}, true }) == Moves{ false, true, false, true }));
    CHECK((moving({ LayerRange{ 1, 3 }, false }) == Moves{ false, false, true, true }));
    CHECK((moving({ LayerRange{ 0, 0 }, true }) == Moves{ false, true, false, false }));
    CHECK((moving({ LayerRange{ 2, 9 }, false }) == Moves{ false, false, false, false }));
}

static void test_a_given_direction_is_scaled_and_added() {
    GivenDirection given(k_parameters);
    for (size_t i = 0; i < k_parameters; i++) given[i] = 1.0f / float(i + 1);
    const auto values = moved(given), before = start();
    for (size_t i = 0; i < k_parameters; i++) {
        const volatile float product = 0.3f * given[i];
        CHECK(values[i] == before[i] + product);
    }
}

int main() {
    test_pieces_of_one_seed_make_its_whole_direction();
    test_a_seed_for_each_matrix_makes_its_own_piece();
    test_nothing_moves_outside_the_support();
    test_a_given_direction_is_scaled_and_added();
    return 0;
}
