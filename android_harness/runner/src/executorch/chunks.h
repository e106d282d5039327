// Dividing a batch over programs of fixed sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fwdllm {

// What one run of a program can take, and what it costs.
struct ChunkSize {
    int64_t examples;
    int64_t length;     // tokens of an example
    int64_t positions;  // with a loss, of all examples together
    int64_t cost;       // of all runs that a chunk needs, in any unit
};

// What an example needs, or a part of its losses.
struct ChunkNeed {
    int64_t length;
    int64_t positions;
};

struct Chunk {
    size_t size;                  // index into the sizes
    std::vector<size_t> members;  // indices into the needs
};

// How many positions with a loss a chunk can take that reads examples of `length` tokens; a Failure
// where none is that long.
int64_t most_positions(int64_t length, const std::vector<ChunkSize> & sizes);

// Divides the examples so that little is computed in vain: the longest example that is left
// begins a chunk of the size whose cost per token of its examples is lowest, and the next longest
// ones fill it. None may need more than `most_positions`.
std::vector<Chunk> divide(const std::vector<ChunkNeed> & needs, const std::vector<ChunkSize> & sizes);

}  // namespace fwdllm
