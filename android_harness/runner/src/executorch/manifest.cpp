#include "manifest.h"

#include "json_fields.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>

namespace fwdllm {

static const int64_t k_most = std::numeric_limits<int32_t>::max();

size_t Port::elements() const {
    size_t count = 1;
    for (int64_t size : shape) count *= size_t(size);
    return count;
}

const Port * ProgramInfo::input(const std::string & name) const {
    for (const Port & port : inputs) {
        if (port.name == name) return &port;
    }
    return nullptr;
}

int64_t ProgramInfo::outcomes() const {
    const Port * bias = input("logit_bias");
    return bias == nullptr ? 0 : int64_t(bias->elements());
}

// An input or output of another size would be written or read beyond its end.
static void check_ports(const std::string & program, const std::vector<Port> & ports,
                        const std::map<std::string, int64_t> & expected) {
    for (const auto & [name, elements] : expected) {
        bool found = false;
        for (const Port & port : ports) {
            if (port.name != name) continue;
            found = true;
            if (int64_t(port.elements()) == elements) continue;
            throw Failure("program " + program + ": " + name + " has " +
                          std::to_string(port.elements()) + " elements, its sizes make " +
                          std::to_string(elements));
        }
        if (!found) throw Failure("program " + program + ": it has no " + name);
    }
}

static void check_program(const ProgramInfo & program, const Manifest & manifest) {
    const bool tangent = program.kind == ProgramKind::tangent;
    const int64_t tokens = program.batch * program.length;
    const int64_t all = program.slots * int64_t(manifest.parameters);
    std::map<std::string, int64_t> inputs = {
        { "tokens", tokens },
        { "targets", program.positions },
        { "weights", program.positions },
        { "logit_bias", manifest.classes.value_or(manifest.vocabulary) },
        { "lora", tangent ? int64_t(manifest.parameters) : all },
    };
    if (tangent) inputs["directions"] = all;
    if (manifest.classes) {
        inputs["mask"] = tokens;
        if (program.positions != program.batch) {
            throw Failure("program " + program.method + ": an encoder's positions are its examples");
        }
    } else {
        inputs["rows"] = program.positions;
    }
    check_ports(program.method, program.inputs, inputs);
    check_ports(program.method, program.outputs,
                tangent ? std::map<std::string, int64_t>{ { "loss", 1 }, { "slopes", program.slots } }
                        : std::map<std::string, int64_t>{ { "losses", program.slots },
                                                          { "predictions", program.positions } });
}

static std::vector<Port> read_ports(const Field & field) {
    std::vector<Port> ports;
    for (const Field & item : field.items(1)) {
        Object object(item);
        ports.push_back({ object.required("name").text(), object.required("dtype").text(),
                          object.required("shape").integers(1, k_most, 1) });
    }
    return ports;
}

static ProgramInfo read_program(const Field & field) {
    Object object(field);
    const Field kind = object.required("kind");
    if (kind.text() != "loss" && kind.text() != "tangent") {
        kind.refuse("unknown kind of program " + kind.text());
    }
    return { object.required("file").text(),
             object.required("method").text(),
             kind.text() == "loss" ? ProgramKind::loss : ProgramKind::tangent,
             object.required("batch").integer(1, k_most),
             object.required("length").integer(1, k_most),
             object.required("positions").integer(1, k_most),
             object.required("slots").integer(1, k_most),
             read_ports(object.required("inputs")),
             read_ports(object.required("outputs")) };
}

static std::vector<ParameterMatrix> read_matrices(const Field & layout) {
    Object object(layout);
    std::vector<ParameterMatrix> matrices;
    size_t offset = 0;
    for (const Field & item : object.required("tensors").items(1)) {
        Object tensor(item);
        const auto shape = tensor.required("shape").integers(1, k_most, 2);
        const std::string half = tensor.required("matrix").text();
        ParameterMatrix matrix{ tensor.required("layer").integer(0, k_most), half == "B", shape[0],
                                shape[1],
                                size_t(tensor.required("offset").integer(0, k_most)) };
        if (matrix.offset != offset) item.refuse("its offset is not where the last tensor ends");
        offset += matrix.size();
        matrices.push_back(matrix);
    }
    return matrices;
}

Manifest read_manifest(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Failure(std::string("cannot open: ") + strerror(errno));
    const nlohmann::json json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) throw Failure("the manifest is not JSON");

    Object object({ json, "" });
    const Field format = object.required("format");
    if (format.text() != "executorch") {
        format.refuse("this runner reads executorch bundles, not " + format.text());
    }
    Manifest manifest;
    manifest.backend = object.required("backend").text();
    Object architecture(object.required("architecture"));
    manifest.vocabulary = architecture.required("vocabulary_size").integer(1, k_most);
    manifest.context = architecture.required("context_length").integer(1, k_most);
    manifest.matrices = read_matrices(object.required("lora"));
    manifest.parameters = manifest.matrices.back().offset + manifest.matrices.back().size();
    for (const Field & item : object.required("programs").items(1)) {
        manifest.programs.push_back(read_program(item));
    }
    for (const Field & item : object.required("files").items()) {
        Object entry(item);
        if (entry.required("role").text() == "base") {
            manifest.weight_files.push_back(entry.required("name").text());
        }
    }
    // Programs of decoders name the rows that have a loss; those of encoders have one per example.
    const ProgramInfo & first = manifest.programs[0];
    if (first.input("rows") == nullptr) manifest.classes = first.outcomes();
    for (const ProgramInfo & program : manifest.programs) check_program(program, manifest);
    return manifest;
}

}  // namespace fwdllm
