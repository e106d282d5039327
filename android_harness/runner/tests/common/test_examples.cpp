#include "check.h"
#include "examples.h"

using namespace fwdllm;

static std::vector<Example> examples_of(const std::string & lines) {
    return read_examples(TemporaryFile(lines).path);
}

static std::string refusal(const std::string & lines) {
    return failure_of([&] { examples_of(lines); });
}

static const std::string k_good = "{\"tokens\":[1,2],\"targets\":[-100,3]}\n";

static void test_reading() {
    const auto examples = examples_of(k_good + "{\"targets\":[4],\"tokens\":[5]}");
    CHECK(examples.size() == 2);
    CHECK((examples[0].tokens == std::vector<int32_t>{ 1, 2 }));
    CHECK((examples[0].targets == std::vector<int32_t>{ -100, 3 }));
    CHECK(examples[1].tokens[0] == 5);
}

static void test_bad_lines_are_named() {
    CHECK(contains(refusal(k_good + "{\"tokens\":[1]"), "line 2: not a JSON object"));
    CHECK(contains(refusal("[1]\n"), "line 1: not a JSON object"));
    CHECK(contains(refusal("{\"tokens\":[1]}\n"), "no list targets"));
    CHECK(contains(refusal("{\"tokens\":[],\"targets\":[]}\n"), "no tokens"));
    CHECK(contains(refusal("{\"tokens\":[1],\"targets\":[1,2]}\n"), "differ in length"));
    CHECK(contains(refusal("{\"tokens\":[1.5],\"targets\":[1]}\n"), "not a whole number"));
    CHECK(contains(refusal("{\"tokens\":[99999999999],\"targets\":[1]}\n"), "out of range"));
    CHECK(contains(refusal("{\"tokens\":[18446744073709551615],\"targets\":[1]}\n"), "out of range"));
    CHECK(contains(refusal("{\"tokens\":[1],\"targets\":[1],\"weight\":1}\n"), "fields other than"));
    CHECK(contains(refusal(""), "no examples"));
    CHECK(contains(failure_of([] { read_examples("/no/such/file"); }), "cannot open"));
}

static void test_limits() {
    const auto examples = examples_of(k_good);
    check_examples(examples, { 4, 2, {} });
    check_examples(examples, { 4, 2, { 0, 3 } });
    const auto refuses = [&](const ExampleLimits & limits) {
        return failure_of([&] { check_examples(examples, limits); });
    };
    CHECK(contains(refuses({ 2, 2, {} }), "token 2 is outside the vocabulary of 2"));
    CHECK(contains(refuses({ 3, 2, {} }), "target 3 is outside the vocabulary of 3"));
    CHECK(contains(refuses({ 4, 1, {} }), "2 tokens, the model reads 1"));
    CHECK(contains(refuses({ 4, 2, { 0, 1 } }), "target 3 is not a label token"));
    CHECK(contains(refuses({ 4, 2, { 3, 4 } }), "label token 4 is outside"));
}

static void test_packing_groups_equal_lengths_without_padding() {
    const auto examples = examples_of("{\"tokens\":[1,2,3],\"targets\":[7,-100,8]}\n"
                                      "{\"tokens\":[4],\"targets\":[9]}\n"
                                      "{\"tokens\":[5,6,7],\"targets\":[-100,-100,10]}\n");
    const Batch batch = pack_batch(examples, { 0, 1, 2 });
    CHECK((batch.tokens == std::vector<int32_t>{ 4, 1, 2, 3, 5, 6, 7 }));
    CHECK((batch.positions == std::vector<int32_t>{ 0, 0, 1, 2, 0, 1, 2 }));
    CHECK(batch.groups.size() == 2);
    CHECK(batch.groups[0].length == 1 && batch.groups[0].count == 1);
    CHECK(batch.groups[1].first == 1 && batch.groups[1].length == 3 && batch.groups[1].count == 2);
    CHECK((batch.loss_rows == std::vector<int32_t>{ 0, 1, 3, 6 }));
    CHECK((batch.targets == std::vector<int32_t>{ 9, 7, 8, 10 }));
    CHECK((batch.order == std::vector<size_t>{ 2, 0, 1, 3 }));  // as given: 7, 8, 9, 10
}

static void test_batches_that_make_no_sense() {
    const auto examples = examples_of(k_good + "{\"tokens\":[1],\"targets\":[-100]}\n");
    CHECK(contains(failure_of([&] { pack_batch(examples, { 0, 2 }); }), "line 2 (from 0) of 2"));
    CHECK(contains(failure_of([&] { pack_batch(examples, { 1, 1 }); }), "has a target"));
}

int main() {
    test_reading();
    test_bad_lines_are_named();
    test_limits();
    test_packing_groups_equal_lengths_without_padding();
    test_batches_that_make_no_sense();
    return 0;
}
