// A batch as runs of programs: its examples in chunks, with padding; sums over chunks are those of
// the whole batch. An example with more losses than a program takes is run once for each part of
// them.
#pragma once

#include "chunks.h"
#include "workplace.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace fwdllm {

class BatchRuns {
  public:
    // Divides the lines of `batch` over programs of a kind, when `columns` copies of the LoRA
    // (loss) or directions (tangent) are wanted of each. A Failure where there is no such program,
    // where an example is longer than any, or where nothing is to be predicted.
    BatchRuns(const Workplace & at, const std::vector<int64_t> & batch, ProgramKind kind,
              int64_t columns);

    size_t positions() const { return positions_; }  // with a loss, of the whole batch

    // Runs every chunk for columns 0 to `columns` − 1, as many at a time as its program has slots.
    //   fill(program, first, count): writes the inputs of columns first to first + count − 1; what
    //   is left of the slots must not move.
    //   take(program, first, count): takes their outputs, which are parts of sums over all chunks.
    // Returns how many runs it took.
    using Use = std::function<void(Program & program, int64_t first, int64_t count)>;
    int run(int64_t columns, const Use & fill, const Use & take);

    // After a run of one column: what the program of the last chunk predicts at each position of
    // its members, put at the place that it has in the order of the batch.
    void take_predictions(const Program & program, std::vector<int32_t> & predictions) const;

  private:
    // Some of an example's targets: those of rank `first` to `first` + `count` − 1 among them.
    struct Part {
        const Example * example;
        int64_t first;
        int64_t count;
        size_t place;  // of its first target, in the order of the batch
    };
    void fill_logit_bias(Program & program) const;
    void fill_examples(Program & program, const Chunk & chunk);
    void fill_part(Program & program, size_t row, const Part & part);

    const Workplace & at_;
    std::vector<Part> parts_;
    std::vector<size_t> programs_;  // by their index in the manifest; sizes of the chunks
    std::vector<Chunk> chunks_;
    size_t positions_ = 0;
    std::vector<size_t> current_;  // place in the batch of each position of the last run
};

}  // namespace fwdllm
