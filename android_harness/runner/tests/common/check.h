// What a test needs: CHECK a condition, expect a Failure, write a file to be read.
#pragma once

#include "failure.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

// The message of the Failure that `action` throws; the test fails when it throws none.
template <typename Action>
std::string failure_of(const Action & action) {
    try {
        action();
    } catch (const fwdllm::Failure & failure) {
        return failure.what();
    }
    fprintf(stderr, "expected a failure\n");
    exit(1);
}

inline bool contains(const std::string & text, const std::string & part) {
    return text.find(part) != std::string::npos;
}

// A file that lives as long as the object.
struct TemporaryFile {
    std::string path;
    explicit TemporaryFile(const std::string & content) {
        static int count = 0;
        path = std::filesystem::temp_directory_path() /
               ("fwdllm-test-" + std::to_string(getpid()) + "-" + std::to_string(count++));
        std::ofstream(path, std::ios::binary) << content;
    }
    ~TemporaryFile() { unlink(path.c_str()); }
};
