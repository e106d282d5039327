#include "batch_runs.h"

#include "failure.h"

#include <algorithm>
#include <numeric>

namespace fwdllm {

// What a token that is no label gets added to its logit: it never has a share of the softmax.
static const float k_never = -1e9f;

// The work of one run in columns of tokens: a tangent goes along with the values themselves.
static int64_t columns_of(const ProgramInfo & program) {
    return program.slots + (program.kind == ProgramKind::tangent ? 1 : 0);
}

static int64_t targets_of(const Example & example) {
    return int64_t(example.targets.size()) -
           std::count(example.targets.begin(), example.targets.end(), k_no_target);
}

BatchRuns::BatchRuns(const Workplace & at, const std::vector<int64_t> & batch, ProgramKind kind,
                     int64_t columns)
    : at_(at), programs_(at.bundle.of_kind(kind)) {
    std::vector<ChunkSize> sizes;
    for (size_t index : programs_) {
        const ProgramInfo & program = at.bundle.manifest().programs[index];
        const int64_t runs = (columns + program.slots - 1) / program.slots;
        sizes.push_back({ program.batch, program.length, program.positions,
                          runs * program.batch * program.length * columns_of(program) });
    }
    std::vector<ChunkNeed> needs;
    for (int64_t line : batch) {
        const Example & example = example_at(at.examples, line);
        const int64_t targets = targets_of(example), length = int64_t(example.tokens.size());
        for (int64_t first = 0; first < targets;) {
            const int64_t count = std::min(targets - first, most_positions(length, sizes));
            parts_.push_back({ &example, first, count, positions_ });
            needs.push_back({ length, count });
            positions_ += size_t(count);
            first += count;
        }
    }
    if (parts_.empty()) throw Failure("no example of the batch has a target");
    chunks_ = divide(needs, sizes);
    // Chunks of one program follow each other, so that its columns are written once for them all.
    std::stable_sort(chunks_.begin(), chunks_.end(),
                     [](const Chunk & a, const Chunk & b) { return a.size < b.size; });
}

int BatchRuns::run(int64_t columns, const Use & fill, const Use & take) {
    int runs = 0;
    for (size_t first = 0, last = 0; first < chunks_.size(); first = last) {
        while (last < chunks_.size() && chunks_[last].size == chunks_[first].size) last++;
        Program & program = at_.bundle.program(programs_[chunks_[first].size]);
        const int64_t slots = program.info().slots;
        fill_logit_bias(program);
        for (int64_t column = 0; column < columns; column += slots) {
            const int64_t count = std::min(slots, columns - column);
            fill(program, column, count);
            for (size_t chunk = first; chunk < last; chunk++) {
                fill_examples(program, chunks_[chunk]);
                at_.bundle.run(program);
                runs++;
                take(program, column, count);
            }
        }
    }
    return runs;
}

void BatchRuns::fill_logit_bias(Program & program) const {
    const Labels & labels = at_.labels;
    float * bias = program.floats("logit_bias");
    std::fill_n(bias, program.info().outcomes(), labels.tokens.empty() ? 0.0f : k_never);
    for (size_t i = 0; i < labels.tokens.size(); i++) bias[labels.tokens[i]] = labels.shifts[i];
}

void BatchRuns::fill_examples(Program & program, const Chunk & chunk) {
    const ProgramInfo & info = program.info();
    for (const char * name : { "tokens", "rows", "targets" }) {
        if (int64_t * values = program.integers(name)) {
            std::fill_n(values, info.input(name)->elements(), 0);
        }
    }
    for (const char * name : { "mask", "weights" }) {
        if (float * values = program.floats(name)) {
            std::fill_n(values, info.input(name)->elements(), 0.0f);
        }
    }
    if (float * mask = program.floats("mask")) {
        // An unused row reads one token: a softmax over nothing has no value.
        for (int64_t row = int64_t(chunk.members.size()); row < info.batch; row++) {
            mask[row * info.length] = 1;
        }
    }
    current_.clear();
    for (size_t row = 0; row < chunk.members.size(); row++) {
        fill_part(program, row, parts_[chunk.members[row]]);
    }
}

// Decoders: the positions of a chunk are its targets, one after the other. Encoders: a position
// is an example, whose target is its class.
void BatchRuns::fill_part(Program & program, size_t row, const Part & part) {
    const Example & example = *part.example;
    const size_t start = row * size_t(program.info().length);
    int64_t * tokens = program.integers("tokens") + start;
    int64_t * rows = program.integers("rows");
    float * mask = program.floats("mask");
    int64_t rank = 0;  // of the target among the example's
    for (size_t t = 0; t < example.tokens.size(); t++) {
        tokens[t] = example.tokens[t];
        if (mask != nullptr) mask[start + t] = 1;
        if (example.targets[t] == k_no_target) continue;
        const int64_t within = rank++ - part.first;
        if (within < 0 || within >= part.count) continue;
        const size_t position = rows != nullptr ? current_.size() : row;
        if (rows != nullptr) rows[position] = int64_t(start + t);
        program.integers("targets")[position] = example.targets[t];
        program.floats("weights")[position] = float(1.0 / double(positions_));
        current_.push_back(part.place + size_t(within));
    }
}

void BatchRuns::take_predictions(const Program & program, std::vector<int32_t> & predictions) const {
    const int64_t * predicted = program.integer_output("predictions");
    for (size_t i = 0; i < current_.size(); i++) predictions[current_[i]] = int32_t(predicted[i]);
}

}  // namespace fwdllm
