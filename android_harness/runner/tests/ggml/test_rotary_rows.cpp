#include "check.h"
#include "lora.h"

#include <set>

using fwdllm::ggml_row_of;

int main() {
    // One head of size 6: pairs (0,3) (1,4) (2,5) become neighbours.
    const int64_t expected[6] = { 0, 2, 4, 1, 3, 5 };
    for (int64_t row = 0; row < 6; row++) CHECK(ggml_row_of(row, 6) == expected[row]);
    // Rows never leave their head, and none is lost.
    std::set<int64_t> seen;
    for (int64_t row = 0; row < 64; row++) {
        CHECK(ggml_row_of(row, 16) / 16 == row / 16);
        seen.insert(ggml_row_of(row, 16));
    }
    CHECK(seen.size() == 64);
    return 0;
}
