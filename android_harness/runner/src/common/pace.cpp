#include "pace.h"

#include "clock.h"

#include <limits>

namespace fwdllm {

// Each step needs the one before, so that neither vector units nor cores side by side shorten it.
static uint64_t chain(uint64_t whole) {
    double real = 1;
    for (int i = 0; i < 700'000; i++) {
        whole = whole * 6364136223846793005u + 1442695040888963407u;
        real = real * 0.999 + double(whole >> 63);
    }
    return whole ^ uint64_t(real);
}

// The compiler knows neither what `word` is from here on, nor that nobody wants it.
static void hide(uint64_t & word) { asm volatile("" : "+r"(word) : : "memory"); }

int64_t pace_ns() {
    const int most_runs = 200, patience = 8;
    int64_t shortest = std::numeric_limits<int64_t>::max();
    uint64_t word = 1;
    for (int run = 0, better = 0; run < most_runs && run - better <= patience; run++) {
        const int64_t start_ns = monotonic_ns();
        hide(word);
        word = chain(word);
        hide(word);
        const int64_t wall_ns = monotonic_ns() - start_ns;
        if (double(wall_ns) < 0.99 * double(shortest)) better = run;
        if (wall_ns < shortest) shortest = wall_ns;
    }
    return shortest;
}

}  // namespace fwdllm
