// The frozen prefix: what comes out of the layers below the first that moves. It depends on the
// example and on weights that stay, so it is computed once and kept.
#pragma once

#include "device.h"
#include "examples.h"
#include "lora.h"
#include "model.h"
#include "prefix_policy.h"
#include "start.h"
#include "state_folder.h"

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fwdllm {

class Prefix {
  public:
    Prefix(const Device & device, const Model & model, const Adapter & adapter,
           const std::vector<Example> & examples, const PrefixPolicy & policy);

    bool keeps() const { return policy_.bytes > 0; }
    // The states at the input of `layer`. They are rounded to what is kept also when they are new,
    // so that a loss does not depend on what was kept.
    Start start(const Batch & batch, int64_t layer);

    int64_t examples_computed() const { return computed_; }
    int64_t examples_reused() const { return reused_; }

  private:
    using Key = std::pair<int64_t, int64_t>;  // layer, line of the examples file
    struct Entry {
        Key key;
        std::vector<uint8_t> stored;
    };

    const std::vector<uint8_t> * find(const Key & key);
    void keep(const Key & key, std::vector<uint8_t> stored);
    void compute(const std::vector<int64_t> & lines, int64_t layer,
                 std::map<int64_t, std::vector<uint8_t>> & found);
    std::string name(const Key & key);
    std::optional<std::vector<uint8_t>> read(const Key & key);

    const Device & device_;
    const Model & model_;
    const Adapter & adapter_;
    const std::vector<Example> & examples_;
    const PrefixPolicy policy_;
    std::optional<StateFolder> folder_;
    std::list<Entry> entries_;  // the latest used first
    std::map<Key, std::list<Entry>::iterator> by_key_;
    std::map<int64_t, std::string> below_;  // by layer: hash of the LoRA values below it
    size_t bytes_ = 0;
    int64_t computed_ = 0, reused_ = 0;
};

}  // namespace fwdllm
