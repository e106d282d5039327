#include "processor.h"

#include <cstdio>
#include <cstring>
#include <vector>

#include <unistd.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#else
#include <cpuid.h>
#endif

// This file is compiled for the least processor of its kind: see CMakeLists.txt.
namespace fwdllm {

struct Feature {
    const char * name;
    bool here;
};

static bool bit(unsigned long word, int number) { return (word >> number & 1) != 0; }

static std::vector<Feature> known_features() {
#if defined(__aarch64__)
    // The kernel's bits by number: an older C library has no names for some.
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    return {
        { "atomics", bit(first, 8) }, { "asimdhp", bit(first, 10) }, { "asimddp", bit(first, 20) },
        { "sve", bit(first, 22) },    { "i8mm", bit(second, 13) },
    };
#else
    unsigned a = 0, b = 0, c = 0, d = 0, a7 = 0, b7 = 0, c7 = 0, d7 = 0;
    __get_cpuid(1, &a, &b, &c, &d);
    __get_cpuid_count(7, 0, &a7, &b7, &c7, &d7);
    const bool wide = bit(c, 27);  // the kernel keeps the wide registers
    return {
        { "sse4_2", bit(c, 20) },         { "popcnt", bit(c, 23) },
        { "fma", wide && bit(c, 12) },    { "f16c", wide && bit(c, 29) },
        { "avx2", wide && bit(b7, 5) },   { "bmi2", bit(b7, 8) },
        { "avx512f", wide && bit(b7, 16) },
    };
#endif
}

static bool is_here(const char * name) {
    for (const Feature & feature : known_features()) {
        if (strcmp(feature.name, name) == 0) return feature.here;
    }
    return false;
}

void refuse_wrong_processor(const char * const * features) {
    bool refused = false;
    for (; *features != nullptr; features++) {
        if (is_here(*features)) continue;
        // By hand: what writes other records is not compiled for this processor.
        const char * text = refused ? ", %s"
            : R"({"event":"error","phase":"processor","message":)"
              R"("the runner was built for another one: this lacks %s)";
        dprintf(STDOUT_FILENO, text, *features);
        refused = true;
    }
    if (!refused) return;
    dprintf(STDOUT_FILENO, "%s\n%s\n", R"(","file":null})",
            R"({"event":"end","status":"error","tasks_done":0})");
    _exit(1);
}

}  // namespace fwdllm
