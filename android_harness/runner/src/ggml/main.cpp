// fwdllm-runner JOB.json: performs the job and writes one record per event to standard output.
// Exit code 0 if and only if the last record is an `end` with status ok.

#include "clock.h"
#include "cpu.h"
#include "cpu_mask.h"
#include "examples.h"
#include "failure.h"
#include "ggml_log.h"
#include "hello.h"
#include "job.h"
#include "lora.h"
#include "lora_values.h"
#include "model.h"
#include "processor.h"
#include "records.h"
#include "runner_main.h"
#include "tasks.h"

#include <cstdio>
#include <unistd.h>

using namespace fwdllm;

// What only ExecuTorch's runner can do.
static void refuse_unsupported(const Job & job) {
    for (const Task & task : job.tasks) {
        const TimeTask * time = std::get_if<TimeTask>(&task);
        if (time == nullptr || !time->operators) continue;
        throw Failure("operators: ggml does not tell how long its operators take; leave it out, or "
                      "use a bundle for ExecuTorch");
    }
}

static void run_job(const std::string & path, size_t & tasks_done) {
    begin("job", path);
    const Job job = read_job(path);
    const int64_t start_ns = monotonic_ns(), cpu_start_ns = process_cpu_ns();
    refuse_unsupported(job);
    const Cpu cpu(job.threads, job.cpu_mask);
    const Device device(cpu, job.device);

    begin("model", job.model);
    const Model model(job.model, device, job.labels.tokens, job.memory_bytes);
    begin("adapter", job.adapter);
    Adapter adapter(job.adapter, model);
    begin("job", path);
    bring_values(adapter, job);
    begin("examples", job.examples);
    const std::vector<Example> examples = read_examples(job.examples);
    check_examples(examples,
                   { model.shapes().vocabulary, model.shapes().context, job.labels.tokens });

    write_load({ device.backend(), device.name(), cpu.threads(),
                 job.cpu_mask ? std::make_optional(read_cpu_mask()) : std::nullopt,
                 adapter.parameters(), model.weight_bytes(), monotonic_ns() - start_ns,
                 process_cpu_ns() - cpu_start_ns, sha256_of_values(adapter.values()) });

    begin("compute");
    Prefix prefix(device, model, adapter, examples, job.prefix);
    const Workplace workplace{ device,     model,  adapter,         examples,
                               job.labels, prefix, job.memory_bytes };
    for (; tasks_done < job.tasks.size(); tasks_done++) {
        run_task(tasks_done, job.tasks[tasks_done], workplace);
    }
}

// ggml aborts on what it takes for a programming error. The process cannot go on from there, but
// it can say so in the words that its reader understands.
static void on_ggml_abort(const char * message) {
    fprintf(stderr, "%s\n", message);
    _exit(fail(std::string("ggml gave up: ") + message));
}

int main(int argc, char ** argv) {
    refuse_wrong_processor(k_built_for);
    capture_ggml_log();
    ggml_set_abort_callback(on_ggml_abort);
    return runner_main(argc, argv, hello, run_job);
}
