// The programs of a bundle and the weights they share: opened when a task first needs them, then
// kept for all tasks.
#pragma once

#include "manifest.h"
#include "mapped_file.h"
#include "operator_times.h"
#include "program.h"
#include "weight_file.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fwdllm {

class Bundle {
  public:
    // `files`: where the files are that the manifest names.
    Bundle(const Manifest & manifest, std::map<std::string, std::string> files);

    ~Bundle();

    const Manifest & manifest() const { return manifest_; }
    size_t mapped_bytes() const;  // of weights and programs

    // The programs of a kind, by their index in the manifest; a Failure where there are none.
    std::vector<size_t> of_kind(ProgramKind kind) const;
    Program & program(size_t index);
    // Runs a program; by its instructions while the operators' times are listened to.
    void run(Program & program);
    OperatorTimes & operator_times() { return times_; }

  private:
    struct File;
    const std::string & path_of(const std::string & name) const;
    File & file(const std::string & name);

    const Manifest & manifest_;
    std::map<std::string, std::string> paths_;
    OperatorTimes times_;
    std::unique_ptr<WeightFile> weights_;  // nullptr: they are in the programs
    std::map<std::string, std::unique_ptr<File>> files_;
    std::map<size_t, std::unique_ptr<Program>> programs_;
};

}  // namespace fwdllm
