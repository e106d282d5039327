#include "bundle.h"

#include "executorch_log.h"

namespace fwdllm {

// A .pte. The runtime's program keeps referring to the loader, and the loader to the mapping.
struct Bundle::File {
    explicit File(const std::string & path) : mapped(path), loader(mapped) {
        auto loaded = executorch::runtime::Program::load(
            &loader, executorch::runtime::Program::Verification::InternalConsistency);
        check(loaded.error(), "not a .pte that this runtime reads");
        program = std::make_unique<executorch::runtime::Program>(std::move(*loaded));
    }
    MappedFile mapped;
    MappedLoader loader;
    std::unique_ptr<executorch::runtime::Program> program;
};

Bundle::Bundle(const Manifest & manifest, std::map<std::string, std::string> files)
    : manifest_(manifest), paths_(std::move(files)) {
    if (manifest.weight_files.size() > 1) {
        throw Failure("the bundle has " + std::to_string(manifest.weight_files.size()) +
                      " files of weights, this runner reads one");
    }
    for (const std::string & name : manifest.weight_files) {
        const std::string & path = path_of(name);
        begin("model", path);
        weights_ = std::make_unique<WeightFile>(path);
    }
    for (const ProgramInfo & info : manifest.programs) file(info.file);
}

Bundle::~Bundle() = default;

size_t Bundle::mapped_bytes() const {
    size_t bytes = weights_ ? weights_->bytes() : 0;
    for (const auto & [name, file] : files_) bytes += file->mapped.size();
    return bytes;
}

std::vector<size_t> Bundle::of_kind(ProgramKind kind) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < manifest_.programs.size(); i++) {
        if (manifest_.programs[i].kind == kind) found.push_back(i);
    }
    if (!found.empty()) return found;
    if (kind == ProgramKind::tangent) {
        throw Failure("no program of the bundle computes tangents; choose the estimator central or "
                      "forward, or export a bundle with tangent programs");
    }
    throw Failure("no program of the bundle computes losses alone; choose the estimator tangent, "
                  "or export a bundle with loss programs");
}

const std::string & Bundle::path_of(const std::string & name) const {
    const auto found = paths_.find(name);
    if (found == paths_.end()) {
        throw Failure("the job does not say where the bundle's file " + name + " is");
    }
    return found->second;
}

Bundle::File & Bundle::file(const std::string & name) {
    std::unique_ptr<File> & file = files_[name];
    if (!file) {
        const std::string & path = path_of(name);
        begin("model", path);
        file = std::make_unique<File>(path);
    }
    return *file;
}

Program & Bundle::program(size_t index) {
    std::unique_ptr<Program> & program = programs_[index];
    if (!program) {
        const ProgramInfo & info = manifest_.programs[index];
        const Activity before = current_activity();
        begin("model", path_of(info.file));
        program = std::make_unique<Program>(*file(info.file).program, info, weights_.get());
        current_activity() = before;
    }
    return *program;
}

void Bundle::run(Program & program) {
    if (times_.listening()) {
        program.run_timed(file(program.info().file).mapped, times_);
    } else {
        program.run();
    }
}

}  // namespace fwdllm
