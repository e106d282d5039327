#include "chunks.h"

#include "failure.h"

#include <algorithm>
#include <numeric>

namespace fwdllm {

// The examples of `order`, from `first` on, that one run takes together.
static Chunk filled(size_t size, const std::vector<ChunkNeed> & needs,
                    const std::vector<size_t> & order, size_t first,
                    const std::vector<ChunkSize> & sizes) {
    Chunk chunk{ size, {} };
    int64_t positions = 0;
    for (size_t i = first; i < order.size(); i++) {
        if (int64_t(chunk.members.size()) == sizes[size].examples) break;
        positions += needs[order[i]].positions;
        if (positions > sizes[size].positions) break;
        chunk.members.push_back(order[i]);
    }
    return chunk;
}

int64_t most_positions(int64_t length, const std::vector<ChunkSize> & sizes) {
    int64_t longest = 0, positions = 0;
    for (const ChunkSize & size : sizes) {
        longest = std::max(longest, size.length);
        if (size.length >= length) positions = std::max(positions, size.positions);
    }
    if (positions > 0) return positions;
    throw Failure("an example has " + std::to_string(length) +
                  " tokens, the longest program of this kind reads " + std::to_string(longest) +
                  "; shorten the examples, or export programs of that length");
}

std::vector<Chunk> divide(const std::vector<ChunkNeed> & needs,
                          const std::vector<ChunkSize> & sizes) {
    std::vector<size_t> order(needs.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return needs[a].length > needs[b].length; });
    std::vector<Chunk> chunks;
    for (size_t first = 0; first < order.size(); first += chunks.back().members.size()) {
        const ChunkNeed & longest = needs[order[first]];
        most_positions(longest.length, sizes);  // or there is none to be found
        Chunk best{ 0, {} };
        double best_price = 0;
        for (size_t size = 0; size < sizes.size(); size++) {
            if (sizes[size].length < longest.length) continue;
            const Chunk chunk = filled(size, needs, order, first, sizes);
            if (chunk.members.empty()) continue;
            int64_t tokens = 0;
            for (size_t member : chunk.members) tokens += needs[member].length;
            const double price = double(sizes[size].cost) / double(tokens);
            // Equal prices: rather one run for many examples than many runs.
            const bool better = best.members.empty() || price < best_price ||
                                (price == best_price && chunk.members.size() > best.members.size());
            if (better) {
                best = chunk;
                best_price = price;
            }
        }
        chunks.push_back(best);
    }
    return chunks;
}

}  // namespace fwdllm
