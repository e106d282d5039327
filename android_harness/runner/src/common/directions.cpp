#include "directions.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace fwdllm {

// Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), with the
// key (seed, 0) and counters from 1, as numpy.random.Philox(key=(seed, 0)) starts.
class WordStream {
  public:
    explicit WordStream(uint64_t seed) : seed_(seed) {}

    uint64_t word(size_t index) {
        const uint64_t counter = index / 4 + 1;
        if (counter != counter_) make_block(counter);
        return block_[index % 4];
    }

  private:
    void make_block(uint64_t counter) {
        counter_ = counter;
        uint64_t c0 = counter, c1 = 0, c2 = 0, c3 = 0;
        uint64_t k0 = seed_, k1 = 0;
        for (int round = 0; round < 10; round++) {
            const unsigned __int128 p0 = (unsigned __int128) 0xD2E7470EE14C6C93u * c0;
            const unsigned __int128 p1 = (unsigned __int128) 0xCA5A826395121157u * c2;
            c0 = uint64_t(p1 >> 64) ^ c1 ^ k0;
            c1 = uint64_t(p1);
            c2 = uint64_t(p0 >> 64) ^ c3 ^ k1;
            c3 = uint64_t(p0);
            k0 += 0x9E3779B97F4A7C15u;  // the golden ratio
            k1 += 0xBB67AE8584CAA73Bu;  // √3 − 1
        }
        block_[0] = c0, block_[1] = c1, block_[2] = c2, block_[3] = c3;
    }

    uint64_t seed_;
    uint64_t counter_ = 0;  // no block yet: counters start at 1
    uint64_t block_[4] = {};
};

// y[b] = x[b] ± scale for the bits of half a word. The sign is flipped in the float's own bits:
// no branch and no multiplication, so the loop becomes a handful of vector instructions.
static void add_signs(uint32_t bits, uint32_t scale_bits, int count, const float * x, float * y) {
    for (int b = 0; b < count; b++) {
        const uint32_t signed_bits = scale_bits ^ ((bits >> b) << 31);
        float step;
        memcpy(&step, &signed_bits, sizeof step);
        y[b] = x[b] + step;
    }
}

static void add_rademacher(uint64_t seed, float scale, size_t first, size_t count, const float * x,
                           float * y) {
    WordStream stream(seed);
    uint32_t scale_bits;
    memcpy(&scale_bits, &scale, sizeof scale_bits);
    for (size_t i = first, end = first + count; i < end;) {
        const size_t bit = i % 32;
        const uint64_t word = stream.word(i / 64);
        const uint32_t half = i % 64 < 32 ? uint32_t(word) : uint32_t(word >> 32);
        const size_t step = std::min<size_t>(32 - bit, end - i);
        if (step == 32) {
            add_signs(half, scale_bits, 32, x + (i - first), y + (i - first));
        } else {
            add_signs(half >> bit, scale_bits, int(step), x + (i - first), y + (i - first));
        }
        i += step;
    }
}

static void add_gaussian(uint64_t seed, float scale, size_t first, size_t count, const float * x,
                         float * y) {
    WordStream stream(seed);
    const double two_pi = 6.283185307179586;
    for (size_t i = first, end = first + count; i < end;) {
        const size_t pair = i / 2 * 2;
        const double u0 = (double(stream.word(pair) >> 11) + 0.5) * 0x1p-53;
        const double u1 = (double(stream.word(pair + 1) >> 11) + 0.5) * 0x1p-53;
        const double radius = std::sqrt(-2.0 * std::log(u0));
        const float values[2] = { float(radius * std::cos(two_pi * u1)),
                                  float(radius * std::sin(two_pi * u1)) };
        for (; i < std::min(pair + 2, end); i++) {
            y[i - first] = x[i - first] + scale * values[i - pair];
        }
    }
}

void add_direction(uint64_t seed, Distribution distribution, float scale, size_t first,
                   size_t count, const float * x, float * y) {
    if (distribution == Distribution::rademacher) {
        add_rademacher(seed, scale, first, count, x, y);
    } else {
        add_gaussian(seed, scale, first, count, x, y);
    }
}

}  // namespace fwdllm
