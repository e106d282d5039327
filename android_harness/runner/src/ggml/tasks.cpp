#include "tasks.h"

#include "clock.h"
#include "estimator.h"
#include "failure.h"
#include "forward_pass.h"
#include "memory.h"
#include "probing.h"
#include "records.h"
#include "values_file.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace fwdllm {

// An evaluation holds the activations of about this many tokens at a time.
static const size_t k_evaluation_tokens = 512;

// What is known of a task that probed, beside its results.
struct Done {
    int64_t predicted_bytes;
    Coverage coverage;
};

static Done done(const Prober & prober) { return { prober.predicted_bytes(), prober.coverage() }; }

static Moving moving_of(const Probing & task, const Workplace & at) {
    return { task.support, lowest_moving_layer(at.adapter, task.support) };
}

static std::optional<Done> run(size_t index, const ProbeTask & task, const Workplace & at) {
    Prober prober(at, task, moving_of(task, at), task.directions_per_pass,
                  int(task.directions.size()));
    probe(index, task, prober);
    return done(prober);
}

static std::optional<Done> run(size_t index, const AlongTask & task, const Workplace & at) {
    begin("direction", task.direction);
    const GivenDirection direction = read_values(task.direction, at.adapter.parameters());
    begin("compute");
    Prober prober(at, task, { {}, lowest_moving_layer(at.adapter, direction) }, 1, 1);
    write_along(index, prober.measure({ direction })[0]);
    return done(prober);
}

static std::optional<Done> run(size_t index, const TimeTask & task, const Workplace & at) {
    Prober prober(at, task, moving_of(task, at), task.directions_per_pass,
                  std::numeric_limits<int>::max());
    Timing timing(index, task, prober);
    timing.warm_up();
    timing.measure();
    return done(prober);
}

static std::optional<Done> run(size_t index, const EvaluateTask & task, const Workplace & at) {
    const int64_t start_ns = monotonic_ns();
    const int64_t cpu_start_ns = process_cpu_ns();
    LoraSlots lora(at.model, at.adapter, 1);
    lora.write(0);
    const int64_t lowest_adapted = lowest_moving_layer(at.adapter, Support());
    Evaluation evaluation{};
    double summed_loss = 0;
    const auto tokens_of = [&](int64_t line) {
        // A line that does not exist is refused when its batch is packed.
        return size_t(line) < at.examples.size() ? at.examples[size_t(line)].tokens.size() : 1;
    };
    const auto targets_of = [&](int64_t line) -> size_t {
        if (size_t(line) >= at.examples.size()) return 1;
        const auto & targets = at.examples[size_t(line)].targets;
        return targets.size() - size_t(std::count(targets.begin(), targets.end(), k_no_target));
    };
    for (size_t first = 0; first < task.batch.size();) {
        std::vector<int64_t> part;
        size_t tokens = 0, targets = 0;
        while (first < task.batch.size() &&
               (targets == 0 || tokens + tokens_of(task.batch[first]) <= k_evaluation_tokens)) {
            tokens += tokens_of(task.batch[first]);
            targets += targets_of(task.batch[first]);
            part.push_back(task.batch[first++]);
        }
        // Examples without any target at the very end have nothing to evaluate.
        if (targets == 0 && evaluation.positions > 0) break;
        const Batch batch = pack_batch(at.examples, part);
        const Start start = at.prefix.start(batch, at.prefix.keeps() ? lowest_adapted : 0);
        ForwardPass pass(at.device, at.model, lora, batch, at.labels, start, 1);
        pass.allocate();
        pass.run();
        summed_loss += pass.summed_loss(0);
        evaluation.positions += pass.positions();
        for (int32_t token : pass.predictions()) evaluation.predictions.push_back(token);
    }
    evaluation.loss = summed_loss / double(evaluation.positions);
    evaluation.wall_ns = monotonic_ns() - start_ns;
    evaluation.cpu_ns = process_cpu_ns() - cpu_start_ns;
    write_evaluation(index, evaluation);
    return std::nullopt;
}

void run_task(size_t index, const Task & task, const Workplace & at) {
    const int64_t computed = at.prefix.examples_computed(), reused = at.prefix.examples_reused();
    const auto done = std::visit([&](const auto & kind) { return run(index, kind, at); }, task);
    write_memory(index, read_memory(),
                 done ? std::make_optional(done->predicted_bytes) : std::nullopt);
    if (done && !at.device.is_cpu()) write_coverage(index, done->coverage);
    if (at.prefix.keeps()) {
        write_prefix(index, at.prefix.examples_computed() - computed,
                     at.prefix.examples_reused() - reused);
    }
}

}  // namespace fwdllm
