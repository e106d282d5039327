#include "runner_main.h"

#include "failure.h"
#include "memory.h"
#include "sha256.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>

namespace fwdllm {

static size_t tasks_done = 0;

int fail(const std::string & message) {
    write_error(message);
    write_end(false, tasks_done);
    return 1;
}

// A job whose numbers changed on their way may still be a job, and its result looks like any other.
static void check_arrived(const std::string & path, const std::string & sha256) {
    begin("delivery", path);
    std::ifstream file(path, std::ios::binary);
    const std::string content{ std::istreambuf_iterator<char>(file), {} };
    const std::string arrived = sha256_hex(content.data(), content.size());
    if (arrived != sha256) {
        throw Failure("the job has SHA-256 " + arrived + ", not " + sha256);
    }
}

int runner_main(int argc, char ** argv, Hello (*hello)(), RunJob run_job) {
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: %s JOB.json [SHA256] | --version\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s\n", version_line(hello()).c_str());
        return 0;
    }
    return_freed_memory();
    write_hello(hello());
    try {
        if (argc == 3) check_arrived(argv[1], argv[2]);
        run_job(argv[1], tasks_done);
    } catch (const Failure & failure) {
        return fail(failure.what());
    } catch (const std::bad_alloc &) {
        return fail("out of memory");
    } catch (const std::exception & error) {
        return fail(error.what());
    }
    write_end(true, tasks_done);
    return 0;
}

}  // namespace fwdllm
