#include "loss.h"

#include <cmath>
#include <cstring>

namespace fwdllm {

// e^x for x ≤ 0, within 2e-16 relative, NaN for NaN. libm's exp costs a few percent of a small
// model's pass over a large vocabulary; this one has no branch and no call, so the compiler
// computes several at once. x = n·ln2 + r with |r| ≤ ln2/2, and e^r by its Taylor series.
static inline double exp_of_nonpositive(double x) {
    x = x < -700.0 ? -700.0 : x;
    const double shift = 6755399441055744.0;  // 1.5 · 2^52: adding it rounds to an integer
    const double shifted = x * 1.4426950408889634 + shift;
    const double n = shifted - shift;
    const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double sum = 1.0 / 6227020800.0;
    sum = sum * r + 1.0 / 479001600.0;
    sum = sum * r + 1.0 / 39916800.0;
    sum = sum * r + 1.0 / 3628800.0;
    sum = sum * r + 1.0 / 362880.0;
    sum = sum * r + 1.0 / 40320.0;
    sum = sum * r + 1.0 / 5040.0;
    sum = sum * r + 1.0 / 720.0;
    sum = sum * r + 1.0 / 120.0;
    sum = sum * r + 1.0 / 24.0;
    sum = sum * r + 1.0 / 6.0;
    sum = sum * r + 0.5;
    sum = sum * r + 1.0;
    sum = sum * r + 1.0;
    int64_t bits;  // the low bits of `shifted` hold n; moved up they are the exponent of 2^n
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

// Floating-point sums are not reassociated by the compiler; independent lanes let it vectorise.
static const int k_lanes = 16;

PositionLoss cross_entropy(const float * logits, int64_t count, int64_t target) {
    const int64_t whole = count - count % k_lanes;

    float maxima[k_lanes];
    for (int lane = 0; lane < k_lanes; lane++) maxima[lane] = logits[0];
    for (int64_t i = 0; i < whole; i += k_lanes) {
        for (int lane = 0; lane < k_lanes; lane++) {
            const float logit = logits[i + lane];
            maxima[lane] = logit > maxima[lane] ? logit : maxima[lane];
        }
    }
    float maximum = logits[0];
    for (float m : maxima) maximum = m > maximum ? m : maximum;
    for (int64_t i = whole; i < count; i++) maximum = logits[i] > maximum ? logits[i] : maximum;

    double sums[k_lanes] = {};
    for (int64_t i = 0; i < whole; i += k_lanes) {
        for (int lane = 0; lane < k_lanes; lane++) {
            sums[lane] += exp_of_nonpositive(double(logits[i + lane]) - double(maximum));
        }
    }
    double sum = 0;
    for (double s : sums) sum += s;
    for (int64_t i = whole; i < count; i++) {
        sum += exp_of_nonpositive(double(logits[i]) - double(maximum));
    }

    int64_t predicted = 0;
    while (predicted + 1 < count && logits[predicted] != maximum) predicted++;
    return { std::log(sum) - (double(logits[target]) - double(maximum)), predicted };
}

double cross_entropy_tangent(const float * p, const float * l_dot, int64_t count, int64_t target) {
    const int64_t whole = count - count % k_lanes;
    double sums[k_lanes] = {};
    for (int64_t i = 0; i < whole; i += k_lanes) {
        for (int lane = 0; lane < k_lanes; lane++) {
            sums[lane] += double(p[i + lane]) * double(l_dot[i + lane]);
        }
    }
    double sum = 0;
    for (double s : sums) sum += s;
    for (int64_t i = whole; i < count; i++) sum += double(p[i]) * double(l_dot[i]);
    return sum - double(l_dot[target]);
}

}  // namespace fwdllm
