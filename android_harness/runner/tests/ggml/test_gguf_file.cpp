#include "check.h"
#include "ggml_log.h"
#include "gguf_file.h"

#include <cstring>

using namespace fwdllm;

// A GGUF of one float32 tensor "t" [4, 2] and some metadata, as bytes.
static std::string good_file() {
    static float values[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    ggml_context * context = ggml_init({ 1 << 16, nullptr, /*no_alloc=*/false });
    ggml_tensor * tensor = ggml_new_tensor_2d(context, GGML_TYPE_F32, 4, 2);
    ggml_set_name(tensor, "t");
    memcpy(tensor->data, values, sizeof values);
    gguf_context * header = gguf_init_empty();
    gguf_set_val_str(header, "name", "llama");
    gguf_set_val_u32(header, "layers", 22);
    gguf_set_val_f32(header, "epsilon", 1e-5f);
    gguf_set_val_f32(header, "infinite", 1.0f / 0.0f);
    gguf_set_val_i32(header, "negative", -3);
    gguf_add_tensor(header, tensor);
    const TemporaryFile file("");
    CHECK(gguf_write_to_file(header, file.path.c_str(), /*only_meta=*/false));
    gguf_free(header);
    ggml_free(context);
    std::ifstream stream(file.path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), {});
}

static void test_values_and_tensors_are_read() {
    const TemporaryFile on_disk(good_file());
    const GgufFile file(on_disk.path);
    CHECK(file.text("name") == "llama");
    CHECK(file.size("layers") == 22);
    CHECK(float(file.number("epsilon")) == 1e-5f);
    CHECK(!file.optional_size("absent") && !file.has("absent"));
    const TensorInfo * tensor = file.find("t");
    CHECK(tensor != nullptr && tensor->ne[0] == 4 && tensor->ne[1] == 2 && tensor->bytes == 32);
    CHECK(file.find("u") == nullptr && file.tensors().size() == 1);
    float row[4];
    file.read(*tensor, 16, 16, row);
    CHECK(row[0] == 5 && row[3] == 8);
}

static void test_wrong_types_and_missing_keys_are_named() {
    const TemporaryFile on_disk(good_file());
    const GgufFile file(on_disk.path);
    CHECK(contains(failure_of([&] { file.text("layers"); }), "layers is not a string"));
    CHECK(contains(failure_of([&] { file.number("name"); }), "name is not a number"));
    CHECK(contains(failure_of([&] { file.number("infinite"); }), "not finite"));
    CHECK(contains(failure_of([&] { file.size("negative"); }), "negative is not a size"));
    CHECK(contains(failure_of([&] { file.size("epsilon"); }), "epsilon is not a size"));
    CHECK(contains(failure_of([&] { file.text("absent"); }), "no absent"));
}

static void test_no_prefix_of_a_file_is_accepted() {
    const std::string whole = good_file();
    for (size_t bytes = 0; bytes < whole.size(); bytes++) {
        const TemporaryFile cut(whole.substr(0, bytes));
        failure_of([&] { GgufFile file(cut.path); });
    }
}

static void test_what_is_no_gguf() {
    CHECK(contains(failure_of([] { GgufFile file("/no/such/file"); }), "cannot open"));
    CHECK(contains(failure_of([] { GgufFile file("/tmp"); }), "not a regular file"));
    const TemporaryFile text("just some text, long enough to hold a header");
    CHECK(contains(failure_of([&] { GgufFile file(text.path); }), "invalid magic"));
}

int main() {
    capture_ggml_log();
    test_values_and_tensors_are_read();
    test_wrong_types_and_missing_keys_are_named();
    test_no_prefix_of_a_file_is_accepted();
    test_what_is_no_gguf();
    return 0;
}
