// Prints what the rule finds on synthetic traces, beside AndroidX's, and holds it to bounds.
#include "check.h"
#include "warmup.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

using namespace fwdllm;

static const int64_t k_second = 1'000'000'000;

static void test_nothing_is_settled_before_the_least() {
    const auto after = [](int repetitions, int64_t wall_ns, const WarmupRule & rule) {
        Warmup warmup(rule);
        for (int i = 0; i < repetitions; i++) warmup.add(wall_ns, 7);
        CHECK(warmup.repetitions() == repetitions && warmup.wall_ns() == repetitions * wall_ns);
        return warmup.settled();
    };
    WarmupRule rule;
    CHECK(!after(5, k_second, rule) && after(6, k_second, rule));
    CHECK(!after(19, k_second / 10, rule) && after(20, k_second / 10, rule));  // 2 s of 60
    rule.least = 8;
    CHECK(!after(7, k_second, rule) && after(8, k_second, rule));
    rule.least = 0;
    CHECK(!after(5, k_second, rule));
}

static void test_a_lasting_change_is_not_settled() {
    Warmup warmup(WarmupRule{});
    double value = 1;
    for (; !warmup.over(); value *= 1.05) warmup.add(k_second, value);
    CHECK(!warmup.settled() && warmup.repetitions() == 60);
}

static void test_without_time_nothing_is_repeated() {
    WarmupRule rule;
    rule.most_ns = 0;
    CHECK(Warmup(rule).over() && !Warmup(rule).settled());
}

static const int k_seeds = 300;
static const double k_too_much = 0.05;  // of start-up in what would be counted as steady

// The same numbers with every standard library.
class Chance {
  public:
    explicit Chance(uint64_t seed) : words_(seed) {}
    double uniform() { return double(words_() >> 11) * 0x1p-53; }
    double normal() {
        double sum = -6;
        for (int i = 0; i < 12; i++) sum += uniform();
        return sum;
    }

  private:
    std::mt19937_64 words_;
};

struct Trace {
    const char * name;
    // What start-up or throttling adds up to from 0 to `t` seconds, in seconds of undisturbed work.
    std::function<double(double t)> added;
    std::function<double(Chance &, int64_t repetition)> noise;  // a factor
    bool settles = true;  // what is added ends
    bool calm = false;    // waiting is needless
};

static std::function<double(double)> decay(double excess, double seconds) {
    return [=](double t) { return excess * seconds * (1 - std::exp(-t / seconds)); };
}

static std::function<double(double)> step(double excess, double seconds) {
    return [=](double t) { return excess * std::min(t, seconds); };
}

static std::function<double(double)> drift(double per_second) {
    return [=](double t) { return per_second * t * t / 2; };
}

static std::function<double(Chance &, int64_t)> noise(double relative) {
    return [=](Chance & chance, int64_t) { return std::max(0.1, 1 + relative * chance.normal()); };
}

static double nothing(double) { return 0; }

static double bimodal(Chance & chance, int64_t) {
    return (chance.uniform() < 0.4 ? 1.3 : 1) * (1 + 0.02 * chance.normal());
}

static double spike(Chance & chance, int64_t repetition) {
    return (repetition == 4 ? 3 : 1) * (1 + 0.02 * chance.normal());
}

static const std::vector<Trace> k_traces = {
    { "steady, 1 % noise", nothing, noise(0.01), true, true },
    { "steady, 3 % noise", nothing, noise(0.03), true, true },
    { "steady, 10 % noise", nothing, noise(0.1) },
    { "one repetition 3 times as long", nothing, spike },
    { "two modes, 30 % apart", nothing, bimodal },
    { "+30 % that decays in 0.1 s", decay(0.3, 0.1), noise(0.03) },
    { "+100 % that decays in 0.5 s", decay(1, 0.5), noise(0.03) },
    { "+50 % that decays in 2 s", decay(0.5, 2), noise(0.03) },
    { "+100 % until a step at 0.5 s", step(1, 0.5), noise(0.03) },
    { "+50 % until a step at 1.5 s", step(0.5, 1.5), noise(0.03) },
    { "throttling, 0.2 % a second", drift(0.002), noise(0.02), false },
    { "throttling, 2 % a second", drift(0.02), noise(0.02), false },
};

// AndroidX's WarmupManager: moving averages of 0.1 and 0.005 within 4 % for more than 40 iterations
// in a row; 30 iterations and 250 ms at least, 8 s at most.
class MovingAverages {
  public:
    void add(int64_t wall_ns, double value) {
        wall_ns_ += wall_ns;
        fast_ = iterations_ == 0 ? value : 0.1 * value + 0.9 * fast_;
        slow_ = iterations_ == 0 ? value : 0.005 * value + 0.995 * slow_;
        const bool similar = iterations_ > 0 && std::abs(fast_ / slow_ - 1) < 0.04;
        similar_ = similar ? similar_ + 1 : 0;
        iterations_++;
    }
    bool settled() const { return begun() && similar_ > 40; }
    bool over() const { return begun() && (similar_ > 40 || wall_ns_ >= 8'000'000'000); }

  private:
    bool begun() const { return iterations_ >= 30 && wall_ns_ >= 250'000'000; }
    double fast_ = 0, slow_ = 0;
    int64_t iterations_ = 0, similar_ = 0, wall_ns_ = 0;
};

// Of all seeds.
struct Count {
    int settled = 0;
    int too_soon = 0;  // settled, and the next repetition still has too much of the start-up
    double median_seconds = 0, longest_seconds = 0;
};

template <typename Policy>
static Count count(const Trace & trace, double seconds, const std::function<Policy()> & make) {
    Count counted;
    std::vector<double> waits;
    for (int seed = 0; seed < k_seeds; seed++) {
        Chance chance{ uint64_t(seed) };
        Policy policy = make();
        double now = 0;
        const auto excess = [&] { return trace.added(now + seconds) - trace.added(now); };
        for (int64_t repetition = 0; !policy.over(); repetition++) {
            const double taken = (seconds + excess()) * trace.noise(chance, repetition);
            policy.add(int64_t(taken * 1e9), taken / seconds);
            now += taken;
        }
        waits.push_back(now);
        counted.settled += policy.settled();
        counted.too_soon += policy.settled() && trace.settles && excess() > k_too_much * seconds;
    }
    std::sort(waits.begin(), waits.end());
    counted.median_seconds = waits[k_seeds / 2];
    counted.longest_seconds = waits.back();
    return counted;
}

static void print(const char * rule, const Count & counted) {
    printf("  %s: settled %3d, too soon %3d, waits %5.1f s (at most %5.1f s)", rule,
           counted.settled, counted.too_soon, counted.median_seconds, counted.longest_seconds);
}

static void test_traces_settle_when_their_start_is_over() {
    printf("of %d seeds each\n", k_seeds);
    for (const double seconds : { 0.06, 1.0, 5.0 }) {
        for (const Trace & trace : k_traces) {
            const Count ours = count<Warmup>(trace, seconds, [] { return Warmup(WarmupRule{}); });
            const Count averages =
                count<MovingAverages>(trace, seconds, [] { return MovingAverages(); });
            printf("%-32s %4.2f s", trace.name, seconds);
            print("halves", ours);
            print("averages", averages);
            printf("\n");
            CHECK(ours.too_soon <= k_seeds / 10);
            if (trace.settles) CHECK(ours.settled >= k_seeds * 9 / 10);
            if (trace.calm) CHECK(ours.median_seconds < 1.05 * std::max(2.0, 6 * seconds));
            CHECK(ours.longest_seconds < 60 + 4 * seconds);  // one that has begun is finished
        }
    }
}

int main() {
    test_nothing_is_settled_before_the_least();
    test_a_lasting_change_is_not_settled();
    test_without_time_nothing_is_repeated();
    test_traces_settle_when_their_start_is_over();
    return 0;
}
