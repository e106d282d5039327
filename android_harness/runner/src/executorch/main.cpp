// fwdllm-runner-executorch JOB.json: performs the job and writes one record per event to standard
// output. Exit code 0 if and only if the last record is an `end` with status ok.

#include "bundle.h"
#include "clock.h"
#include "cpu_mask.h"
#include "examples.h"
#include "executorch_log.h"
#include "failure.h"
#include "hello.h"
#include "job.h"
#include "lora.h"
#include "lora_values.h"
#include "processor.h"
#include "records.h"
#include "runner_main.h"
#include "tasks.h"
#include "threads.h"
#include "xnnpack_memory.h"

using namespace fwdllm;

// What only ggml's runner can do.
static void refuse_unsupported(const Job & job) {
    if (job.device) {
        throw Failure("device: a bundle for ExecuTorch computes on the backend that it was exported "
                      "for; leave the device out, or export for another backend");
    }
    if (job.memory_bytes) {
        throw Failure("memory_bytes: a .pte does not tell beforehand what it will take; leave the "
                      "limit out, or use a GGUF bundle");
    }
    if (job.prefix.bytes > 0) {
        throw Failure("prefix: a .pte runs all layers, nothing of them can be kept; leave it out");
    }
}

static void run_job(const std::string & path, size_t & tasks_done) {
    begin("job", path);
    const Job job = read_job(path);
    const int64_t start_ns = monotonic_ns(), cpu_start_ns = process_cpu_ns();
    refuse_unsupported(job);
    if (job.cpu_mask) bind_process(*job.cpu_mask);
    start_threads(job.threads);
    share_xnnpack_memory();

    begin("model", job.model);
    const Manifest manifest = read_manifest(job.model);
    Bundle bundle(manifest, job.files);
    begin("adapter", job.adapter);
    Lora lora(job.adapter, manifest.matrices, manifest.parameters);
    begin("job", path);
    bring_values(lora, job);
    begin("examples", job.examples);
    const std::vector<Example> examples = read_examples(job.examples);
    if (manifest.classes && !job.labels.tokens.empty()) {
        throw Failure("an encoder chooses among its classes, not among label tokens");
    }
    check_examples(examples, { manifest.vocabulary, manifest.context, job.labels.tokens,
                               manifest.classes });

    write_load({ manifest.backend, "CPU", job.threads,
                 job.cpu_mask ? std::make_optional(read_cpu_mask()) : std::nullopt,
                 lora.parameters(), bundle.mapped_bytes(), monotonic_ns() - start_ns,
                 process_cpu_ns() - cpu_start_ns, sha256_of_values(lora.values()) });

    begin("compute");
    const Workplace workplace{ bundle, lora, examples, job.labels };
    for (; tasks_done < job.tasks.size(); tasks_done++) {
        run_task(tasks_done, job.tasks[tasks_done], workplace);
    }
}

int main(int argc, char ** argv) {
    refuse_wrong_processor(k_built_for);
    start_executorch();
    return runner_main(argc, argv, hello, run_job);
}
