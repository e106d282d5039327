// fwdllm-runner JOB.json: performs the job and writes one record per event to standard output.
// Exit code 0 if and only if the last record is an `end` with status ok.

#include "clock.h"
#include "cpu.h"
#include "examples.h"
#include "failure.h"
#include "ggml_log.h"
#include "job.h"
#include "lora.h"
#include "model.h"
#include "records.h"
#include "sha256.h"
#include "tasks.h"
#include "values_file.h"

#include <cstdio>
#include <cstring>
#include <new>
#include <unistd.h>

using namespace fwdllm;

static size_t tasks_done = 0;

static void run_job(const std::string & path) {
    begin("job", path);
    const Job job = read_job(path);
    const int64_t start_ns = monotonic_ns(), cpu_start_ns = process_cpu_ns();
    const Cpu cpu(job.threads, job.cpu_mask);
    const Device device(cpu, job.device);

    begin("model", job.model);
    const Model model(job.model, device, job.labels.tokens, job.memory_bytes);
    begin("adapter", job.adapter);
    Adapter adapter(job.adapter, model);
    begin("job", path);
    check_names(job, adapter.matrices().size());
    if (job.lora_values) {
        begin("lora_values", *job.lora_values);
        adapter.read_values(*job.lora_values);
    }
    begin("lora_values");
    for (const Combination & update : job.updates) adapter.update(update);
    if (job.lora_values_out) {
        begin("lora_values", *job.lora_values_out);
        write_values(*job.lora_values_out, adapter.values());
    }
    begin("examples", job.examples);
    const std::vector<Example> examples = read_examples(job.examples);
    check_examples(examples,
                   { model.shapes().vocabulary, model.shapes().context, job.labels.tokens });

    const std::vector<float> & values = adapter.values();
    write_load({ device.backend(), device.name(), cpu.threads(),
                 job.cpu_mask ? std::make_optional(read_cpu_mask()) : std::nullopt,
                 adapter.parameters(), model.weight_bytes(), monotonic_ns() - start_ns,
                 process_cpu_ns() - cpu_start_ns,
                 sha256_hex(values.data(), values.size() * sizeof(float)) });

    begin("compute");
    Prefix prefix(device, model, adapter, examples, job.prefix);
    const Workplace workplace{ device,     model,  adapter,         examples,
                               job.labels, prefix, job.memory_bytes };
    for (; tasks_done < job.tasks.size(); tasks_done++) {
        run_task(tasks_done, job.tasks[tasks_done], workplace);
    }
}

static int fail(const std::string & message) {
    write_error(message);
    write_end(false, tasks_done);
    return 1;
}

// ggml aborts on what it takes for a programming error. The process cannot go on from there, but
// it can say so in the words that its reader understands.
static void on_ggml_abort(const char * message) {
    fprintf(stderr, "%s\n", message);
    _exit(fail(std::string("ggml gave up: ") + message));
}

int main(int argc, char ** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: fwdllm-runner JOB.json | --version\n");
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s\n", version_line().c_str());
        return 0;
    }
    capture_ggml_log();
    ggml_set_abort_callback(on_ggml_abort);
    write_hello();
    try {
        run_job(argv[1]);
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
