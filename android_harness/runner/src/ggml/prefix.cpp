#include "prefix.h"

#include "failure.h"
#include "forward_pass.h"
#include "sha256.h"

#include <cstring>
#include <set>

namespace fwdllm {

// New states are computed for about this many tokens at a time.
static const size_t k_tokens_at_once = 512;

static std::vector<uint8_t> packed(const float * states, size_t count, bool half) {
    std::vector<uint8_t> bytes(count * (half ? sizeof(ggml_fp16_t) : sizeof(float)));
    if (half) {
        ggml_fp32_to_fp16_row(states, reinterpret_cast<ggml_fp16_t *>(bytes.data()),
                              int64_t(count));
    } else {
        memcpy(bytes.data(), states, bytes.size());
    }
    return bytes;
}

static void unpack(const std::vector<uint8_t> & bytes, bool half, float * states) {
    if (half) {
        ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t *>(bytes.data()), states,
                              int64_t(bytes.size() / sizeof(ggml_fp16_t)));
    } else {
        memcpy(states, bytes.data(), bytes.size());
    }
}

Prefix::Prefix(const Device & device, const Model & model, const Adapter & adapter,
               const std::vector<Example> & examples, const PrefixPolicy & policy)
    : device_(device), model_(model), adapter_(adapter), examples_(examples), policy_(policy) {
    if (policy.bytes > 0 && policy.folder) folder_.emplace(*policy.folder, policy.bytes);
}

Start Prefix::start(const Batch & batch, int64_t layer) {
    Start start{ layer, {} };
    if (layer == 0) {
        start.states.resize(batch.tokens.size() * size_t(model_.shapes().width));
        model_.embed(batch.tokens, start.states.data());
        return start;
    }
    if (!keeps()) {
        LoraSlots lora(model_, adapter_, 1);
        lora.write(0);
        start.states = states_below(layer, device_, model_, lora, batch);
        computed_ += int64_t(batch.lines.size());
        return start;
    }
    std::map<int64_t, std::vector<uint8_t>> found;  // by line
    std::vector<int64_t> missing;
    for (int64_t line : std::set<int64_t>(batch.lines.begin(), batch.lines.end())) {
        if (const auto * kept = find({ layer, line })) {
            found[line] = *kept;
        } else {
            missing.push_back(line);
        }
    }
    reused_ += int64_t(found.size());
    compute(missing, layer, found);

    start.states.resize(batch.tokens.size() * size_t(model_.shapes().width));
    float * out = start.states.data();
    for (int64_t line : batch.lines) {
        unpack(found[line], policy_.half, out);
        out += examples_[size_t(line)].tokens.size() * size_t(model_.shapes().width);
    }
    return start;
}

void Prefix::compute(const std::vector<int64_t> & lines, int64_t layer,
                     std::map<int64_t, std::vector<uint8_t>> & found) {
    if (lines.empty()) return;
    LoraSlots lora(model_, adapter_, 1);
    lora.write(0);
    const auto tokens_of = [&](int64_t line) { return examples_[size_t(line)].tokens.size(); };
    for (size_t first = 0; first < lines.size();) {
        std::vector<int64_t> part;
        size_t tokens = 0;
        while (first < lines.size() &&
               (part.empty() || tokens + tokens_of(lines[first]) <= k_tokens_at_once)) {
            tokens += tokens_of(lines[first]);
            part.push_back(lines[first++]);
        }
        const Batch batch = pack_examples(examples_, part);
        const std::vector<float> states = states_below(layer, device_, model_, lora, batch);
        const float * next = states.data();
        for (int64_t line : batch.lines) {
            const size_t count = tokens_of(line) * size_t(model_.shapes().width);
            found[line] = packed(next, count, policy_.half);
            keep({ layer, line }, found[line]);
            if (folder_) folder_->write(name({ layer, line }), found[line]);
            next += count;
        }
    }
    computed_ += int64_t(lines.size());
}

// In memory ----------------------------------------------------------------------------------

const std::vector<uint8_t> * Prefix::find(const Key & key) {
    const auto place = by_key_.find(key);
    if (place != by_key_.end()) {
        entries_.splice(entries_.begin(), entries_, place->second);
        return &entries_.front().stored;
    }
    std::optional<std::vector<uint8_t>> stored = read(key);
    if (!stored) return nullptr;
    keep(key, std::move(*stored));
    return by_key_.count(key) == 1 ? &entries_.front().stored : nullptr;
}

void Prefix::keep(const Key & key, std::vector<uint8_t> stored) {
    if (stored.size() > policy_.bytes) return;
    bytes_ += stored.size();
    entries_.push_front({ key, std::move(stored) });
    by_key_[key] = entries_.begin();
    while (bytes_ > policy_.bytes) {
        bytes_ -= entries_.back().stored.size();
        by_key_.erase(entries_.back().key);
        entries_.pop_back();
    }
}

// In the folder ------------------------------------------------------------------------------

std::string Prefix::name(const Key & key) {
    const auto & [layer, line] = key;
    std::string & below = below_[layer];
    if (below.empty()) {
        std::vector<float> values;
        for (const LoraMatrix & matrix : adapter_.matrices()) {
            if (matrix.layer >= layer) continue;
            const float * first = adapter_.values().data() + matrix.offset;
            values.insert(values.end(), first, first + matrix.size());
        }
        below = sha256_hex(values.data(), values.size() * sizeof(float));
    }
    const std::vector<int32_t> & tokens = examples_[size_t(line)].tokens;
    const std::string all = policy_.model_sha256 + " " + below + " " + std::to_string(layer) +
                            (policy_.half ? " float16 " : " float32 ") +
                            sha256_hex(tokens.data(), tokens.size() * sizeof(int32_t));
    return sha256_hex(all.data(), all.size());
}

std::optional<std::vector<uint8_t>> Prefix::read(const Key & key) {
    if (!folder_) return std::nullopt;
    const size_t count =
        examples_[size_t(key.second)].tokens.size() * size_t(model_.shapes().width);
    return folder_->read(name(key), count * (policy_.half ? sizeof(ggml_fp16_t) : sizeof(float)));
}

}  // namespace fwdllm
