// A .ptd file: the weights that the programs of a bundle share, by their names.
#pragma once

#include "mapped_file.h"

#include <executorch/runtime/core/named_data_map.h>

#include <map>
#include <string>
#include <vector>

namespace fwdllm {

// Reads ExecuTorch's flat tensor format (extension/flat_tensor/serialize/flat_tensor.fbs); the
// runtime asks for weights by name and gets them where the file is mapped.
class WeightFile final : public executorch::runtime::NamedDataMap {
  public:
    // A file that is not of this format, or damaged, is a Failure.
    explicit WeightFile(const std::string & path);

    size_t bytes() const { return file_.size(); }

    executorch::runtime::Result<const executorch::runtime::TensorLayout>
    get_tensor_layout(std::string_view key) const override;
    executorch::runtime::Result<executorch::runtime::FreeableBuffer>
    get_data(std::string_view key) const override;
    executorch::runtime::Error load_data_into(std::string_view key, void * buffer,
                                              size_t size) const override;
    executorch::runtime::Result<uint32_t> get_num_keys() const override;
    executorch::runtime::Result<const char *> get_key(uint32_t index) const override;

  private:
    struct Entry {
        const uint8_t * data = nullptr;
        size_t bytes = 0;
        bool is_tensor = false;  // otherwise data of a backend, which has no shape
        int8_t scalar_type = 0;
        std::vector<int32_t> sizes;
        std::vector<uint8_t> dim_order;
    };
    const Entry * find(std::string_view key) const;

    MappedFile file_;
    std::map<std::string, Entry, std::less<>> entries_;
    std::vector<const char *> names_;
};

}  // namespace fwdllm
