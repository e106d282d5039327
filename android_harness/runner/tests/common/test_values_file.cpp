#include "check.h"
#include "values_file.h"

using namespace fwdllm;

int main() {
    const TemporaryFile target("what was there before");
    write_values(target.path, { 1.0f, -2.5f });
    std::ifstream file(target.path, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    CHECK(bytes == std::string("\x00\x00\x80\x3f\x00\x00\x20\xc0", 8));

    CHECK((read_values(target.path, 2) == std::vector<float>{ 1.0f, -2.5f }));
    for (size_t count : { 0, 1, 3 }) {
        CHECK(contains(failure_of([&] { read_values(target.path, count); }), "8 bytes"));
    }
    CHECK(contains(failure_of([] { read_values("/no/such/values", 2); }), "cannot open"));

    CHECK(contains(failure_of([] { write_values("/no/such/folder/values", { 1.0f }); }),
                   "cannot create"));
    const auto unwritable = std::filesystem::temp_directory_path();  // a folder cannot be replaced
    CHECK(contains(failure_of([&] { write_values(unwritable / ".", { 1.0f }); }), "cannot"));
    return 0;
}
