#include "check.h"
#include "weight_file.h"

using namespace fwdllm;

// A .ptd of one tensor "w" [2, 1] of float32, made by hand: header, tables from the root down.
static std::string made_by_hand() {
    std::string bytes(208, '\0');
    const auto put = [&](size_t place, auto value) { memcpy(&bytes[place], &value, sizeof value); };
    const auto offset = [&](size_t place, size_t to) { put(place, uint32_t(to - place)); };
    offset(0, 56);  // the root
    memcpy(&bytes[4], "FT01", 4);
    memcpy(&bytes[8], "FH01", 4);
    put(8 + 24, uint64_t(192));  // where segments begin
    // FlatTensor: vtable at 48 with 3 fields
    put(46, uint16_t(10)), put(48, uint16_t(12)), put(50, uint16_t(0)), put(52, uint16_t(4)),
        put(54, uint16_t(8));
    put(56, int32_t(10));
    offset(60, 68), offset(64, 76);
    put(68, uint32_t(1)), offset(72, 96);  // segments
    put(76, uint32_t(1)), offset(80, 124);  // named data
    // DataSegment: its offset is left out, so 0; size 8
    put(86, uint16_t(8)), put(88, uint16_t(12)), put(90, uint16_t(0)), put(92, uint16_t(4));
    put(96, int32_t(10)), put(100, uint64_t(8));
    // NamedData: key, segment 0 left out, layout
    put(112, uint16_t(10)), put(114, uint16_t(12)), put(116, uint16_t(4)), put(118, uint16_t(0)),
        put(120, uint16_t(8));
    put(124, int32_t(12)), offset(128, 136), offset(132, 156);
    put(136, uint32_t(1)), memcpy(&bytes[140], "w", 1);
    // TensorLayout: scalar type 6 (float32), sizes, order
    put(146, uint16_t(10)), put(148, uint16_t(16)), put(150, uint16_t(4)), put(152, uint16_t(8)),
        put(154, uint16_t(12));
    put(156, int32_t(10)), put(160, int8_t(6)), offset(164, 172), offset(168, 184);
    put(172, uint32_t(2)), put(176, int32_t(2)), put(180, int32_t(1));
    put(184, uint32_t(2)), put(188, uint8_t(0)), put(189, uint8_t(1));
    put(192, 1.5f), put(196, -2.0f);
    return bytes;
}

static void test_a_tensor_is_found_by_its_name() {
    const TemporaryFile file(made_by_hand());
    const WeightFile weights(file.path);
    CHECK(*weights.get_num_keys() == 1 && std::string(*weights.get_key(0)) == "w");
    const auto layout = weights.get_tensor_layout("w");
    CHECK(layout.ok() && layout->nbytes() == 8 && layout->sizes()[0] == 2);
    float values[2];
    CHECK(weights.load_data_into("w", values, sizeof values) == executorch::runtime::Error::Ok);
    CHECK(values[0] == 1.5f && values[1] == -2.0f);
    CHECK(weights.get_data("absent").error() == executorch::runtime::Error::NotFound);
}

static void test_damage_is_refused_wherever_it_is() {
    const std::string whole = made_by_hand();
    for (size_t size = 1; size < 200; size++) {  // a cut file
        const TemporaryFile file(whole.substr(0, size));
        failure_of([&] { WeightFile weights(file.path); });
    }
    for (size_t place = 0; place < whole.size(); place++) {  // any byte: a Failure, or no crash
        std::string damaged = whole;
        damaged[place] = char(0xff);
        const TemporaryFile file(damaged);
        try {
            WeightFile weights(file.path);
        } catch (const Failure &) {
        }
    }
    const TemporaryFile other(std::string(whole).replace(4, 4, "GGUF"));
    CHECK(contains(failure_of([&] { WeightFile weights(other.path); }), "not a .ptd file"));
}

int main() {
    test_a_tensor_is_found_by_its_name();
    test_damage_is_refused_wherever_it_is();
}
