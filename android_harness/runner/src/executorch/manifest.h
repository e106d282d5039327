// What the runner needs of a bundle's manifest.json; the format is defined by exporters/manifest.py.
#pragma once

#include "parameter_matrix.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fwdllm {

enum class ProgramKind { loss, tangent };

// An input or output of a program.
struct Port {
    std::string name;
    std::string dtype;  // float32, int64
    std::vector<int64_t> shape;
    size_t elements() const;
};

// A method of a .pte: fixed sizes, and what enters and leaves it.
struct ProgramInfo {
    std::string file;  // by its name in the manifest
    std::string method;
    ProgramKind kind;
    int64_t batch;      // examples
    int64_t length;     // tokens of an example
    int64_t positions;  // that can have a loss
    int64_t slots;      // loss: copies of the LoRA; tangent: directions
    std::vector<Port> inputs;
    std::vector<Port> outputs;

    const Port * input(const std::string & name) const;  // nullptr: it has no such input
    int64_t outcomes() const;  // among which a loss chooses: tokens, or an encoder's classes
};

struct Manifest {
    std::string backend;
    int64_t vocabulary;  // tokens
    int64_t context;  // tokens that the model can read at most
    std::optional<int64_t> classes;  // of an encoder, whose positions are examples
    std::vector<ParameterMatrix> matrices;
    size_t parameters;
    std::vector<ProgramInfo> programs;
    std::vector<std::string> weight_files;  // that all programs share; by their names
};

Manifest read_manifest(const std::string & path);

}  // namespace fwdllm
