#include "tasks.h"

#include "clock.h"
#include "failure.h"
#include "memory.h"
#include "prober.h"
#include "probing.h"
#include "records.h"
#include "values_file.h"

#include <algorithm>
#include <limits>

namespace fwdllm {

static void run(size_t index, const ProbeTask & task, const Workplace & at) {
    at.lora.check(task.support);
    Prober prober(at, task, task.directions_per_pass, int(task.directions.size()));
    probe(index, task, prober);
}

static void run(size_t index, const AlongTask & task, const Workplace & at) {
    begin("direction", task.direction);
    const GivenDirection direction = read_values(task.direction, at.lora.parameters());
    begin("compute");
    Prober prober(at, task, 1, 1);
    write_along(index, prober.measure({ direction })[0]);
}

static void run(size_t index, const TimeTask & task, const Workplace & at) {
    at.lora.check(task.support);
    Prober prober(at, task, task.directions_per_pass, std::numeric_limits<int>::max());
    OperatorTimes & times = at.bundle.operator_times();
    times.clear();
    Timing timing(index, task, prober);
    timing.warm_up();
    times.listen(task.operators);
    const int64_t directions = timing.measure();
    times.listen(false);
    if (!task.operators) return;
    std::vector<OperatorTime> operators;
    for (const auto & [key, sum] : times.sums()) {
        const auto & [method, place, name] = key;
        operators.push_back({ method, place, name, sum.calls, sum.wall_ns });
    }
    write_operators(index, directions, operators);
}

static void run(size_t index, const EvaluateTask & task, const Workplace & at) {
    const int64_t start_ns = monotonic_ns();
    const int64_t cpu_start_ns = process_cpu_ns();
    BatchRuns runs(at, task.batch, ProgramKind::loss, 1);
    Evaluation evaluation{};
    evaluation.positions = runs.positions();
    evaluation.predictions.resize(runs.positions());
    const auto fill = [&](Program & program, int64_t, int64_t) {
        float * lora = program.floats("lora");
        std::fill_n(lora, program.info().input("lora")->elements(), 0.0f);
        std::copy(at.lora.values().begin(), at.lora.values().end(), lora);
    };
    const auto take = [&](Program & program, int64_t, int64_t) {
        evaluation.loss += *program.float_output("losses");
        runs.take_predictions(program, evaluation.predictions);
    };
    runs.run(1, fill, take);
    evaluation.wall_ns = monotonic_ns() - start_ns;
    evaluation.cpu_ns = process_cpu_ns() - cpu_start_ns;
    write_evaluation(index, evaluation);
}

void run_task(size_t index, const Task & task, const Workplace & at) {
    std::visit([&](const auto & kind) { run(index, kind, at); }, task);
    // A .pte does not tell what it will allocate, so nothing is predicted.
    write_memory(index, read_memory(), std::nullopt);
}

}  // namespace fwdllm
