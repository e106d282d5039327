// Examples and batches of them. One example is a sequence of token ids with, for each position,
// the id to be predicted after reading up to there, or −100 where no loss is asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

const int32_t k_no_target = -100;

struct Example {
    std::vector<int32_t> tokens;
    std::vector<int32_t> targets;  // as many as tokens
};

// Reads a JSON Lines file of {"tokens": [...], "targets": [...]}.
std::vector<Example> read_examples(const std::string & path);

// Limits that the model and the loss set to examples.
struct ExampleLimits {
    int64_t vocabulary;
    int64_t context;
    std::vector<int32_t> label_tokens;  // empty: any token of the vocabulary is a target
    // Of an encoder, instead: an example has one target at most, which is a class.
    std::optional<int64_t> classes = std::nullopt;
};

// Throws a Failure that names the line of an example which breaks the limits.
void check_examples(const std::vector<Example> & examples, const ExampleLimits & limits);

// The example of a line, counted from 0; a Failure for a line that does not exist.
const Example & example_at(const std::vector<Example> & examples, int64_t line);

// A batch as the forward pass sees it: all tokens of all examples one after the other, without
// padding. Examples of equal length are neighbours and form a group, whose attention is one
// operation.
struct Batch {
    struct Group {
        int64_t first;   // packed position of its first token
        int64_t length;  // tokens per example
        int64_t count;   // examples
    };
    std::vector<int32_t> tokens;
    std::vector<int32_t> positions;  // of each token in its example
    std::vector<Group> groups;
    std::vector<int64_t> lines;      // of the examples file, in packed order
    std::vector<int32_t> loss_rows;  // packed positions that have a target, ascending
    std::vector<int32_t> targets;    // of the loss rows
    std::vector<size_t> order;       // rank of each loss row in the order the batch was given in
};

// `lines` index `examples`; throws a Failure for a line that does not exist.
Batch pack_examples(const std::vector<Example> & examples, const std::vector<int64_t> & lines);
// The same for a batch that has a loss: a Failure where nothing is to be predicted.
Batch pack_batch(const std::vector<Example> & examples, const std::vector<int64_t> & lines);

}  // namespace fwdllm
