#include "model.h"

#include "failure.h"

#include <cstring>
#include <map>
#include <set>

namespace fwdllm {

const std::array<const char *, k_modules> k_module_names = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
};

int64_t Shapes::inputs(Module module) const {
    if (module == k_o) return heads * head_size;
    if (module == k_down) return feed_forward;
    return width;
}

int64_t Shapes::outputs(Module module) const {
    if (module == k_q) return heads * head_size;
    if (module == k_k || module == k_v) return key_value_heads * head_size;
    if (module == k_gate || module == k_up) return feed_forward;
    return width;
}

// Shapes -------------------------------------------------------------------------------------

static void require(bool condition, const std::string & message) {
    if (!condition) throw Failure(message);
}

static float rope_scale(const GgufFile & file, const std::string & architecture) {
    const std::string prefix = architecture + ".rope.scaling.";
    if (!file.has(prefix + "type")) {
        // Files from before rope.scaling.type existed have linear scaling under another name.
        return 1.0f / float(file.optional_number(architecture + ".rope.scale_linear").value_or(1));
    }
    const std::string type = file.text(prefix + "type");
    require(type == "none" || type == "linear", "rope scaling of type " + type +
                                                    " is not supported (none, linear and llama3's "
                                                    "rope_freqs tensor are)");
    if (type == "none") return 1.0f;
    const double factor = file.number(prefix + "factor");
    require(factor > 0, prefix + "factor is not positive");
    return float(1.0 / factor);
}

static Shapes read_shapes(const GgufFile & file) {
    Shapes shapes;
    shapes.architecture = file.text("general.architecture");
    const std::string & a = shapes.architecture;
    require(a == "llama" || a == "qwen2",
            "architecture " + a + " is not supported (llama and qwen2 are)");
    require(file.optional_number(a + ".expert_count").value_or(0) == 0,
            "mixture-of-experts models are not supported");

    shapes.layers = file.size(a + ".block_count");
    shapes.width = file.size(a + ".embedding_length");
    shapes.feed_forward = file.size(a + ".feed_forward_length");
    shapes.heads = file.size(a + ".attention.head_count");
    shapes.key_value_heads =
        file.optional_size(a + ".attention.head_count_kv").value_or(shapes.heads);
    require(shapes.heads % shapes.key_value_heads == 0,
            "the number of key/value heads does not divide the number of heads");
    shapes.head_size =
        file.optional_size(a + ".attention.key_length").value_or(shapes.width / shapes.heads);
    require(shapes.head_size >= 2 && shapes.head_size % 2 == 0, "the head size is not even");
    require(file.optional_size(a + ".attention.value_length").value_or(shapes.head_size) ==
                shapes.head_size,
            "heads whose keys and values differ in size are not supported");
    require(file.optional_size(a + ".rope.dimension_count").value_or(shapes.head_size) ==
                shapes.head_size,
            "rotary embeddings over a part of the head are not supported");

    shapes.context = file.size(a + ".context_length");
    if (const auto window = file.optional_number(a + ".attention.sliding_window")) {
        // Up to the window's length, windowed and full causal attention are the same.
        if (*window >= 1 && *window < double(shapes.context)) shapes.context = int64_t(*window);
    }
    shapes.norm_epsilon = float(file.number(a + ".attention.layer_norm_rms_epsilon"));
    require(shapes.norm_epsilon >= 0, "the norm epsilon is negative");
    shapes.rope_mode = a == "llama" ? GGML_ROPE_TYPE_NORMAL : GGML_ROPE_TYPE_NEOX;
    shapes.rope_base = float(file.optional_number(a + ".rope.freq_base").value_or(10000.0));
    require(shapes.rope_base > 0, "the rope base is not positive");
    shapes.rope_scale = rope_scale(file, a);

    const TensorInfo * embedding = file.find("token_embd.weight");
    require(embedding != nullptr, "no tensor token_embd.weight");
    shapes.vocabulary = embedding->ne[1];
    require(shapes.vocabulary >= 1, "the vocabulary is empty");
    return shapes;
}

// Weights ------------------------------------------------------------------------------------

// A tensor that the model needs: where its header goes and what it must look like.
struct Model::Wanted {
    std::string name;
    int64_t columns;  // ne[0]
    int64_t rows;     // ne[1]; 1 for vectors
    ggml_tensor ** place;
    bool required;
};

static const TensorInfo & checked(const TensorInfo & tensor, int64_t columns, int64_t rows) {
    const int64_t * ne = tensor.ne;
    if (ne[0] != columns || ne[1] != rows || ne[2] != 1 || ne[3] != 1) {
        throw Failure("tensor " + tensor.name + " has shape [" + std::to_string(ne[0]) + ", " +
                      std::to_string(ne[1]) + ", " + std::to_string(ne[2]) + ", " +
                      std::to_string(ne[3]) + "], expected [" + std::to_string(columns) + ", " +
                      std::to_string(rows) + "]");
    }
    return tensor;
}

// Can the device multiply by this tensor when it lies in a buffer of `type`?
static bool multiplies_from(ggml_backend_dev_t device, ggml_backend_buffer_type_t type,
                            const TensorInfo & tensor) {
    ContextHandle context = new_context(3);
    ggml_tensor * weight =
        ggml_new_tensor_2d(context.get(), tensor.type, tensor.ne[0], tensor.ne[1]);
    ggml_tensor * columns = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, tensor.ne[0], 32);
    BufferHandle empty(ggml_backend_buft_alloc_buffer(type, 0));
    weight->buffer = empty.get();
    return ggml_backend_dev_supports_op(device, ggml_mul_mat(context.get(), weight, columns));
}

// Matrices go to the first buffer type that can multiply by them. Types that repack (interleave
// the rows of a quantized matrix for the CPU's dot-product instructions) come before the plain one.
// The one for Intel's AMX is left out: with it, products of Q8_0 matrices end in a segmentation
// fault on such a processor (ggml 0.25.3).
//
// Another device has one type of its own; what it cannot multiply by stays with the CPU.
using Place = std::pair<ggml_backend_dev_t, ggml_backend_buffer_type_t>;

static std::vector<Place> matrix_places(const Device & device) {
    std::vector<Place> places;
    if (!device.is_cpu()) places.push_back({ device.device(), device.buffer_type() });
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    using GetExtra = ggml_backend_buffer_type_t * (*) (ggml_backend_dev_t);
    const auto get_extra = reinterpret_cast<GetExtra>(ggml_backend_reg_get_proc_address(
        ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
    if (get_extra != nullptr) {
        for (auto * extra = get_extra(cpu); extra != nullptr && *extra != nullptr; extra++) {
            if (std::string(ggml_backend_buft_name(*extra)) != "AMX") places.push_back({ cpu, *extra });
        }
    }
    places.push_back({ cpu, ggml_backend_cpu_buffer_type() });
    return places;
}

static const TensorInfo & readable(const TensorInfo & matrix) {
    require(matrix.type == GGML_TYPE_F32 ||
                ggml_get_type_traits(matrix.type)->to_float != nullptr,
            matrix.name + " has a type that cannot be read as numbers");
    return matrix;
}

Model::Model(const std::string & path, const Device & device,
             const std::vector<int32_t> & labels, std::optional<size_t> memory_bytes)
    : file_(path), shapes_(read_shapes(file_)) {
    const Shapes & s = shapes_;
    // Every layer has tensors, so this bounds memory before a made-up block count is believed.
    require(s.layers <= int64_t(file_.tensors().size()), "more layers than tensors");
    layers_.resize(size_t(s.layers));

    std::vector<Wanted> wanted = {
        { "output_norm.weight", s.width, 1, &output_norm_, true },
        { "rope_freqs.weight", s.head_size / 2, 1, &rope_factors_, false },
    };
    embedding_ = &readable(checked(*file_.find("token_embd.weight"), s.width, s.vocabulary));
    const TensorInfo * untied = file_.find("output.weight");
    const TensorInfo & output = untied == nullptr ? *embedding_ : *untied;
    if (labels.empty()) wanted.push_back({ output.name, s.width, s.vocabulary, &output_, true });
    for (int64_t i = 0; i < s.layers; i++) {
        Layer & layer = layers_[size_t(i)];
        const std::string block = "blk." + std::to_string(i) + ".";
        wanted.push_back({ block + "attn_norm.weight", s.width, 1, &layer.attention_norm, true });
        wanted.push_back({ block + "ffn_norm.weight", s.width, 1, &layer.feed_forward_norm, true });
        for (int m = 0; m < k_modules; m++) {
            const Module module = Module(m);
            Linear & linear = layer.linear[size_t(m)];
            const std::string name = block + k_module_names[size_t(m)];
            wanted.push_back(
                { name + ".weight", s.inputs(module), s.outputs(module), &linear.weight, true });
            wanted.push_back({ name + ".bias", s.outputs(module), 1, &linear.bias, false });
        }
    }
    load(device, wanted, memory_bytes);
    if (!labels.empty()) {
        load_output_rows(device, readable(checked(output, s.width, s.vocabulary)), labels);
    }
}

void Model::load(const Device & device, std::vector<Wanted> & wanted,
                 std::optional<size_t> memory_bytes) {
    const auto places = matrix_places(device);

    // Which tensors exist, and in which kind of buffer each goes.
    std::map<ggml_backend_buffer_type_t, std::vector<std::pair<Wanted *, const TensorInfo *>>> plan;
    std::set<std::string> known = { "token_embd.weight", "output.weight" };
    for (Wanted & want : wanted) {
        known.insert(want.name);
        const TensorInfo * tensor = file_.find(want.name);
        if (tensor == nullptr) {
            require(!want.required, "no tensor " + want.name);
            continue;
        }
        checked(*tensor, want.columns, want.rows);
        ggml_backend_buffer_type_t place = nullptr;
        if (want.rows == 1) {
            require(tensor->type == GGML_TYPE_F32, "tensor " + want.name + " is not float32");
            place = device.buffer_type();
        } else {
            for (const auto & [who, type] : places) {
                if (place == nullptr && multiplies_from(who, type, *tensor)) place = type;
            }
        }
        require(place != nullptr, "tensor " + want.name + " has type " +
                                      ggml_type_name(tensor->type) +
                                      ", which nothing here can multiply by");
        plan[place].emplace_back(&want, tensor);
    }
    // A tensor that this graph does not know would silently be left out of the computation.
    for (const TensorInfo & tensor : file_.tensors()) {
        require(known.count(tensor.name) == 1,
                "tensor " + tensor.name + " is not part of a supported model");
    }

    size_t weights = 0;
    for (const auto & [type, tensors] : plan) {
        for (const auto & [want, tensor] : tensors) weights += tensor->bytes;
    }
    require(!memory_bytes || weights <= *memory_bytes,
            "the weights need " + std::to_string(weights) + " bytes, the job may take " +
                std::to_string(memory_bytes.value_or(0)));

    std::vector<uint8_t> staging;
    for (auto & [type, tensors] : plan) {
        ContextHandle context = new_context(tensors.size());
        for (auto & [want, tensor] : tensors) {
            *want->place =
                ggml_new_tensor_2d(context.get(), tensor->type, tensor->ne[0], tensor->ne[1]);
            ggml_set_name(*want->place, want->name.c_str());
        }
        BufferHandle buffer = allocate(context.get(), type);
        ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        for (auto & [want, tensor] : tensors) {
            if (ggml_backend_buffer_is_host(buffer.get())) {
                file_.read(*tensor, 0, tensor->bytes, (*want->place)->data);
            } else {  // repacked on the way in, one whole tensor at a time
                staging.resize(tensor->bytes);
                file_.read(*tensor, 0, tensor->bytes, staging.data());
                ggml_backend_tensor_set(*want->place, staging.data(), 0, tensor->bytes);
            }
        }
        contexts_.push_back(std::move(context));
        buffers_.push_back(std::move(buffer));
    }
}

void Model::load_output_rows(const Device & device, const TensorInfo & matrix,
                             const std::vector<int32_t> & tokens) {
    for (int32_t token : tokens) {
        require(token < shapes_.vocabulary, "label token " + std::to_string(token) +
                                                " is outside the vocabulary of " +
                                                std::to_string(shapes_.vocabulary));
    }
    ContextHandle context = new_context(1);
    output_ = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, shapes_.width,
                                 int64_t(tokens.size()));
    buffers_.push_back(allocate(context.get(), device.buffer_type()));
    ggml_backend_buffer_set_usage(buffers_.back().get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    contexts_.push_back(std::move(context));
    std::vector<float> rows(size_t(ggml_nelements(output_)));
    read_rows(matrix, tokens, rows.data());
    ggml_backend_tensor_set(output_, rows.data(), 0, ggml_nbytes(output_));
}

size_t Model::weight_bytes() const {
    size_t bytes = 0;
    for (const BufferHandle & buffer : buffers_) bytes += ggml_backend_buffer_get_size(buffer.get());
    return bytes;
}

void Model::embed(const std::vector<int32_t> & tokens, float * out) const {
    read_rows(*embedding_, tokens, out);
}

void Model::read_rows(const TensorInfo & matrix, const std::vector<int32_t> & rows,
                      float * out) const {
    const size_t row_bytes = ggml_row_size(matrix.type, shapes_.width);
    std::vector<uint8_t> stored(row_bytes);
    for (int32_t row : rows) {
        file_.read(matrix, size_t(row) * row_bytes, row_bytes, stored.data());
        if (matrix.type == GGML_TYPE_F32) {
            memcpy(out, stored.data(), row_bytes);
        } else {
            ggml_get_type_traits(matrix.type)->to_float(stored.data(), out, shapes_.width);
        }
        out += shapes_.width;
    }
}

}  // namespace fwdllm
