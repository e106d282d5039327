#include "weight_file.h"

#include "flatbuffer.h"

namespace fwdllm {

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::Span;
using executorch::runtime::TensorLayout;

// Before the tables: the root's offset, "FT01", and a header that says where the segments begin.
static const size_t k_identifier = 4, k_header = 8, k_header_segments = 24;
// Fields of the schema's tables.
enum FlatTensorField { k_segments = 1, k_named_data = 2 };
enum SegmentField { k_segment_offset = 0, k_segment_size = 1 };
enum NamedDataField { k_key = 0, k_segment_index = 1, k_layout = 2 };
enum LayoutField { k_scalar_type = 0, k_sizes = 1, k_dim_order = 2 };

WeightFile::WeightFile(const std::string & path) : file_(path) {
    const FlatBuffer buffer{ file_.data(), file_.size() };
    buffer.at<uint64_t>(k_header + k_header_segments);  // is there room for the header at all?
    if (memcmp(file_.data() + k_identifier, "FT01", 4) != 0 ||
        memcmp(file_.data() + k_header, "FH01", 4) != 0) {
        throw Failure("not a .ptd file");
    }
    const size_t segments_begin = buffer.at<uint64_t>(k_header + k_header_segments);
    const FlatTable root{ buffer, buffer.follow(0) };
    const FlatVector segments = root.vector(k_segments), named = root.vector(k_named_data);
    for (size_t i = 0; i < named.size(); i++) {
        const FlatTable data{ buffer, named.table(i) };
        const size_t index = data.number<uint32_t>(k_segment_index);
        if (index >= segments.size()) throw Failure("the file is damaged: it lacks a segment");
        const FlatTable segment{ buffer, segments.table(index) };
        const size_t offset = segments_begin + segment.number<uint64_t>(k_segment_offset);
        Entry entry;
        entry.data = file_.data() + offset;
        entry.bytes = segment.number<uint64_t>(k_segment_size);
        if (offset > file_.size() || entry.bytes > file_.size() - offset) {
            throw Failure("the file is cut: a segment ends beyond it");
        }
        if (data.has(k_layout)) {
            const FlatTable layout = data.table(k_layout);
            entry.is_tensor = true;
            entry.scalar_type = layout.number<int8_t>(k_scalar_type);
            const FlatVector sizes = layout.vector(k_sizes), order = layout.vector(k_dim_order);
            for (size_t d = 0; d < sizes.size(); d++) {
                entry.sizes.push_back(sizes.number<int32_t>(d));
            }
            for (size_t d = 0; d < order.size(); d++) {
                entry.dim_order.push_back(order.number<uint8_t>(d));
            }
        }
        entries_.emplace(data.text(k_key), std::move(entry));
    }
    for (const auto & [name, entry] : entries_) names_.push_back(name.c_str());
}

const WeightFile::Entry * WeightFile::find(std::string_view key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second;
}

Result<const TensorLayout> WeightFile::get_tensor_layout(std::string_view key) const {
    const Entry * entry = find(key);
    if (entry == nullptr || !entry->is_tensor) return Error::NotFound;
    return TensorLayout::create(
        Span<const int32_t>(entry->sizes.data(), entry->sizes.size()),
        Span<const uint8_t>(entry->dim_order.data(), entry->dim_order.size()),
        static_cast<executorch::aten::ScalarType>(entry->scalar_type));
}

Result<FreeableBuffer> WeightFile::get_data(std::string_view key) const {
    const Entry * entry = find(key);
    if (entry == nullptr) return Error::NotFound;
    return FreeableBuffer(entry->data, entry->bytes, /*free_fn=*/nullptr);
}

Error WeightFile::load_data_into(std::string_view key, void * buffer, size_t size) const {
    const Entry * entry = find(key);
    if (entry == nullptr) return Error::NotFound;
    if (size > entry->bytes) return Error::InvalidArgument;
    memcpy(buffer, entry->data, size);
    return Error::Ok;
}

Result<uint32_t> WeightFile::get_num_keys() const { return uint32_t(names_.size()); }

Result<const char *> WeightFile::get_key(uint32_t index) const {
    if (index >= names_.size()) return Error::InvalidArgument;
    return names_[index];
}

}  // namespace fwdllm
