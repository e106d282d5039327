#include "check.h"
#include "chunks.h"

#include <algorithm>

using namespace fwdllm;

// Programs of 8 short examples, of one short and of one long.
static const std::vector<ChunkSize> k_sizes = {
    { 8, 16, 8, 8 * 16 }, { 1, 16, 1, 16 }, { 1, 64, 4, 64 }
};

static std::vector<ChunkNeed> short_ones(size_t count) {
    return std::vector<ChunkNeed>(count, ChunkNeed{ 16, 1 });
}

static void test_every_example_is_in_one_chunk() {
    std::vector<ChunkNeed> needs = short_ones(21);
    needs[4] = { 40, 3 };
    std::vector<size_t> seen;
    for (const Chunk & chunk : divide(needs, k_sizes)) {
        CHECK(int64_t(chunk.members.size()) <= k_sizes[chunk.size].examples);
        for (size_t member : chunk.members) {
            CHECK(needs[member].length <= k_sizes[chunk.size].length);
            seen.push_back(member);
        }
    }
    std::sort(seen.begin(), seen.end());
    for (size_t i = 0; i < needs.size(); i++) CHECK(seen[i] == i);
    CHECK(seen.size() == needs.size());
}

static void test_the_cheapest_size_is_taken() {
    const auto whole = divide(short_ones(8), k_sizes);
    CHECK(whole.size() == 1 && whole[0].size == 0);
    const auto rest = divide(short_ones(9), k_sizes);  // 8 and 1, not 8 and a padded 8
    CHECK(rest.size() == 2 && rest[0].size == 0 && rest[1].size == 1);
    const auto alone = divide({ { 10, 1 } }, k_sizes);
    CHECK(alone.size() == 1 && alone[0].size == 1);
}

static void test_a_long_example_does_not_take_short_ones_along() {
    std::vector<ChunkNeed> needs = short_ones(8);
    needs.push_back({ 64, 1 });
    const auto chunks = divide(needs, k_sizes);
    CHECK(chunks.size() == 2);
    CHECK(chunks[0].size == 2 && chunks[0].members == std::vector<size_t>{ 8 });
    CHECK(chunks[1].size == 0 && chunks[1].members.size() == 8);
}

static void test_losses_beyond_the_positions_open_another_chunk() {
    const std::vector<ChunkSize> sizes = { { 4, 16, 4, 64 } };
    const auto chunks = divide({ { 8, 2 }, { 8, 2 }, { 8, 2 } }, sizes);
    CHECK(chunks.size() == 2);
    CHECK(chunks[0].members.size() == 2 && chunks[1].members.size() == 1);
}

static void test_what_fits_nowhere_is_refused() {
    CHECK(most_positions(16, k_sizes) == 8);
    CHECK(most_positions(17, k_sizes) == 4);
    const std::string expected = "has 65 tokens, the longest program of this kind reads 64";
    CHECK(contains(failure_of([] { most_positions(65, k_sizes); }), expected));
    CHECK(contains(failure_of([] { divide({ { 65, 1 } }, k_sizes); }), expected));
}

int main() {
    test_every_example_is_in_one_chunk();
    test_the_cheapest_size_is_taken();
    test_a_long_example_does_not_take_short_ones_along();
    test_losses_beyond_the_positions_open_another_chunk();
    test_what_fits_nowhere_is_refused();
}
