#include "runner_main.h"

#include "failure.h"
#include "memory.h"

#include <cstdio>
#include <cstring>
#include <new>

namespace fwdllm {

static size_t tasks_done = 0;

int fail(const std::string & message) {
    write_error(message);
    write_end(false, tasks_done);
    return 1;
}

int runner_main(int argc, char ** argv, Hello (*hello)(), RunJob run_job) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s JOB.json | --version\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s\n", version_line(hello()).c_str());
        return 0;
    }
    return_freed_memory();
    write_hello(hello());
    try {
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
