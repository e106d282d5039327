#include "lora.h"

#include "failure.h"
#include "values_file.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace fwdllm {

// ggml multiplies f32 matrices in vectors of up to 16; a rank below that would fall back to one
// dot product per output. Zero rows of A and zero columns of B change nothing but the speed.
static int64_t padded(int64_t rank) { return (rank + 15) / 16 * 16; }

int64_t ggml_row_of(int64_t row, int64_t head_size) {
    const int64_t head = row / head_size, within = row % head_size;
    const int64_t half = within / (head_size / 2), pair = within % (head_size / 2);
    return head * head_size + 2 * pair + half;
}

// "blk.3.attn_q.weight.lora_a" -> a matrix with layer, module and A or B set.
static LoraMatrix parse_name(const std::string & name, const Shapes & shapes) {
    for (int64_t layer = 0; layer < shapes.layers; layer++) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        if (name.compare(0, block.size(), block) != 0) continue;
        for (int m = 0; m < k_modules; m++) {
            const std::string stem = block + k_module_names[size_t(m)] + ".weight.lora_";
            if (name == stem + "a") return { { layer, false, 0, 0, 0 }, Module(m), 0 };
            if (name == stem + "b") return { { layer, true, 0, 0, 0 }, Module(m), 0 };
        }
    }
    throw Failure("tensor " + name + " adapts nothing that the model has");
}

Adapter::Adapter(const std::string & path, const Model & model) {
    const GgufFile file(path);
    const Shapes & shapes = model.shapes();
    if (file.text("general.type") != "adapter" || file.text("adapter.type") != "lora") {
        throw Failure("not a LoRA adapter");
    }
    if (file.text("general.architecture") != shapes.architecture) {
        throw Failure("the adapter is for " + file.text("general.architecture") +
                      " models, the model is " + shapes.architecture);
    }
    if (file.tensors().empty()) throw Failure("the adapter has no tensors");

    std::map<std::pair<int64_t, int>, int> halves;  // (layer, module) -> how many of A and B
    size_t offset = 0;
    for (const TensorInfo & tensor : file.tensors()) {
        LoraMatrix matrix = parse_name(tensor.name, shapes);
        if (tensor.type != GGML_TYPE_F32) throw Failure("tensor " + tensor.name + " is not float32");
        matrix.columns = tensor.ne[0];
        matrix.rows = tensor.ne[1];
        matrix.offset = offset;
        const int64_t rank = matrix.is_b ? matrix.columns : matrix.rows;
        const int64_t other = matrix.is_b ? matrix.rows : matrix.columns;
        const int64_t fits = matrix.is_b ? shapes.outputs(matrix.module)
                                         : shapes.inputs(matrix.module);
        if (other != fits || tensor.ne[2] != 1 || tensor.ne[3] != 1) {
            throw Failure("tensor " + tensor.name + " has " + std::to_string(other) +
                          (matrix.is_b ? " outputs" : " inputs") + ", the model's layer has " +
                          std::to_string(fits));
        }
        if (rank_ == 0) rank_ = rank;
        if (rank != rank_ || rank < 1) {
            throw Failure("tensor " + tensor.name + " has rank " + std::to_string(rank) +
                          ", others have " + std::to_string(rank_));
        }
        const bool rotary = matrix.module == k_q || matrix.module == k_k;
        if (matrix.is_b && rotary && shapes.rope_mode == GGML_ROPE_TYPE_NORMAL) {
            matrix.head_size = shapes.head_size;
        }
        halves[{ matrix.layer, matrix.module }]++;
        offset += matrix.size();
        matrices_.push_back(matrix);
    }
    for (const auto & [place, count] : halves) {
        if (count != 2) {
            throw Failure("layer " + std::to_string(place.first) + " has only one half of " +
                          k_module_names[size_t(place.second)]);
        }
    }
    scale_ = float(file.number("adapter.lora.alpha") / double(rank_));

    values_.resize(offset);
    std::vector<float> stored;
    for (size_t i = 0; i < matrices_.size(); i++) {
        const LoraMatrix & matrix = matrices_[i];
        const TensorInfo & tensor = file.tensors()[i];
        float * values = values_.data() + matrix.offset;
        if (matrix.head_size == 0) {
            file.read(tensor, 0, tensor.bytes, values);
            continue;
        }
        stored.resize(matrix.size());
        file.read(tensor, 0, tensor.bytes, stored.data());
        for (int64_t row = 0; row < matrix.rows; row++) {
            memcpy(values + row * matrix.columns,
                   stored.data() + ggml_row_of(row, matrix.head_size) * matrix.columns,
                   size_t(matrix.columns) * sizeof(float));
        }
    }
}

void Adapter::read_values(const std::string & path) {
    values_ = fwdllm::read_values(path, values_.size());
}

void Adapter::update(const Combination & combination) {
    add_combination(combination, matrices_, values_);
}

// The lowest layer of the matrices that `moves`; −1: none.
template <typename Moves>
static int64_t lowest_layer(const Adapter & adapter, const Moves & moves) {
    int64_t lowest = -1;
    for (const LoraMatrix & matrix : adapter.matrices()) {
        if ((lowest < 0 || matrix.layer < lowest) && moves(matrix)) lowest = matrix.layer;
    }
    return lowest;
}

int64_t lowest_moving_layer(const Adapter & adapter, const Support & support) {
    const int64_t lowest = lowest_layer(adapter, [&](const LoraMatrix & matrix) {
        return support.contains(matrix.layer, matrix.is_b);
    });
    if (lowest < 0) refuse_empty(support);
    return lowest;
}

int64_t lowest_moving_layer(const Adapter & adapter, const GivenDirection & direction) {
    const int64_t lowest = lowest_layer(adapter, [&](const LoraMatrix & matrix) {
        const float * first = direction.data() + matrix.offset;
        return std::any_of(first, first + matrix.size(), [](float v) { return v != 0; });
    });
    return std::max<int64_t>(lowest, 0);
}

LoraSlots::LoraSlots(const Model & model, const Adapter & adapter, int slots)
    : adapter_(adapter), slots_(slots), pairs_(size_t(model.shapes().layers)),
      context_(new_context(adapter.matrices().size())) {
    const int64_t rank = padded(adapter.rank());
    for (const LoraMatrix & matrix : adapter.matrices()) {
        Pair & pair = pairs_[size_t(matrix.layer)][matrix.module];
        if (matrix.is_b) {
            pair.b = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, rank, matrix.rows, slots);
        } else {
            pair.a = ggml_new_tensor_3d(context_.get(), GGML_TYPE_F32, matrix.columns, rank, slots);
        }
    }
    buffer_ = allocate(context_.get(), ggml_backend_cpu_buffer_type());
    ggml_backend_buffer_clear(buffer_.get(), 0);  // the padding stays zero from here on
}

const LoraSlots::Pair & LoraSlots::pair(int64_t layer, Module module) const {
    return pairs_[size_t(layer)][module];
}

void LoraSlots::write(int slot, const Direction * direction, float scale) {
    const std::vector<LoraMatrix> & matrices = adapter_.matrices();
    for (size_t i = 0; i < matrices.size(); i++) {
        const LoraMatrix & matrix = matrices[i];
        const Pair & pair = pairs_[size_t(matrix.layer)][matrix.module];
        ggml_tensor * tensor = matrix.is_b ? pair.b : pair.a;
        float * out = static_cast<float *>(tensor->data) + size_t(slot) * (tensor->nb[2] / sizeof(float));
        const float * source = adapter_.values().data() + matrix.offset;
        if (direction != nullptr) {
            moved_.resize(matrix.size());
            if (add_piece(*direction, scale, matrix, i, source, moved_.data())) {
                source = moved_.data();
            }
        }
        if (!matrix.is_b) {  // all rows of A keep their place, the padding follows them
            memcpy(out, source, matrix.size() * sizeof(float));
            continue;
        }
        const int64_t stride = tensor->ne[0];
        for (int64_t row = 0; row < matrix.rows; row++) {
            const int64_t place = matrix.head_size > 0 ? ggml_row_of(row, matrix.head_size) : row;
            memcpy(out + place * stride, source + row * matrix.columns,
                   size_t(matrix.columns) * sizeof(float));
        }
    }
}

}  // namespace fwdllm
