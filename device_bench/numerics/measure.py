"""The numeric gate's jobs: losses, steps, and slopes at the best of them, in few passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from android_harness.errors import RunnerFailedError
from android_harness.job import Estimator, EvaluateTask, ProbeTask, Task
from android_harness.records import LoadRecord, Record
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.numerics.answers import loss_of, require_answers, slopes_of, step_losses_of
from device_bench.numerics.contract import EstimatorSlopes, NumericEvidence, StepLosses
from device_bench.numerics.questions import Questions
from device_bench.numerics.step_search import STEPS, BestStep, StepSearch, epsilon_at
from exporters.lora.combination import Seed

NUMERICS_NAME = "numerics.json"

_CALIBRATION_DIRECTIONS = 8
_REPEATED_DIRECTIONS = 2


def measure_numerics(
    installed: InstalledRunner,
    questions: Questions,
    estimators: Sequence[Estimator],
    *,
    threads: int,
    cpu_mask: str | None,
    timeout_s: float | None,
    run_name: str,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[NumericEvidence, list[Record]]:
    """Asks the questions of the backend, and returns its answers and the records of the first job.

    The first job measures the loss, twice, and losses at the search's first steps. The next ones
    look for the best step of each difference estimator (`StepSearch`), one measures all slopes by
    each estimator, and the last the loss and some slopes again, in a process of its own.

    Args:
        run_name: how the names of the jobs on the device begin.
        report: called before each job with what it is for.

    Raises:
        IncompleteRunError: an answer is missing.
        DeviceError: a job failed, but for a backend that computes no finite number: that is
            evidence too.
    """
    gate = _Gate(installed, questions, threads, cpu_mask, timeout_s, run_name)
    searches = [StepSearch(estimator) for estimator in estimators if estimator != "tangent"]
    most = most_passes(estimators, len(questions.directions))
    first: list[Record] = []
    try:
        report(f"numeric gate: loss (at most {most} passes of {questions.tokens} tokens in all)")
        first = gate.begin(searches)
        while wanted := sorted({step for search in searches for step in search.wanted}):
            report(f"numeric gate: ε {', '.join(f'{epsilon_at(step):.2g}' for step in wanted)}")
            gate.look_at(wanted)
            gate.tell(searches)
        gate.best = {search.estimator: search.best() for search in searches}
        report("numeric gate: slopes")
        gate.measure_slopes(estimators)
        report("numeric gate: slopes again")
        gate.measure_again(estimators)
    except RunnerFailedError as error:
        if error.phase != "compute":
            raise
        return gate.evidence(failure=error.message), first
    return gate.evidence(), first


def most_passes(estimators: Sequence[Estimator], directions: int) -> int:
    """Forward passes over a batch that a gate takes at most; a tangent counts as one."""
    differences = [each for each in estimators if each != "tangent"]
    look = 2 * min(directions, _CALIBRATION_DIRECTIONS)
    asked = {"central": 4 * StepSearch.TURNS, "forward": 2 * StepSearch.TURNS}
    looks = min(sum(asked[each] for each in differences), STEPS + 1)  # none is looked at twice
    repeated = min(directions, _REPEATED_DIRECTIONS)
    return (
        3
        + bool(differences)
        + look * looks
        + sum(_slope_passes(each, directions) for each in estimators)
        + sum(_slope_passes(each, repeated) for each in estimators)
    )


def _slope_passes(estimator: Estimator, directions: int) -> int:
    return 2 * directions if estimator == "central" else 1 + directions


@dataclass
class _Gate:
    """The gate's jobs on one device, and what they have answered so far."""

    installed: InstalledRunner
    questions: Questions
    threads: int
    cpu_mask: str | None
    timeout_s: float | None
    run_name: str
    backend: str | None = None
    losses: list[tuple[float, ...]] = field(default_factory=list)  # of each process
    base: float = 0.0  # the loss of the batch of the calibration
    steps: dict[int, StepLosses | None] = field(default_factory=dict)
    best: dict[Estimator, BestStep] = field(default_factory=dict)
    slopes: dict[Estimator, tuple[float, ...]] = field(default_factory=dict)
    again: dict[Estimator, tuple[float, ...]] = field(default_factory=dict)
    jobs: int = 0
    passes: int = 0
    wall_s: float = 0.0

    def begin(self, searches: Sequence[StepSearch]) -> list[Record]:
        """The loss, and the finest steps. Returns the job's records."""
        wanted = sorted({step for search in searches for step in search.wanted})
        losses = [self._loss(self.questions.batch)] * 2
        if wanted:
            losses.append(self._loss(self.questions.calibration))
        records = self._run([*losses, *(self._look(step) for step in wanted)])
        self.backend = next(each.backend for each in records if isinstance(each, LoadRecord))
        first, second, *base = (loss_of(records, number) for number in range(len(losses)))
        self.losses.append((first, second))
        self.base = base[0] if base else first
        for number, step in enumerate(wanted, start=len(losses)):
            self.steps[step] = step_losses_of(records, number, epsilon_at(step))
        self.tell(searches)
        return records

    def look_at(self, steps: Sequence[int]) -> None:
        """The losses at steps that were not looked at yet."""
        new = [step for step in steps if step not in self.steps]
        if not new:
            return
        try:
            records = self._run([self._look(step) for step in new])
        except RunnerFailedError as error:
            if error.phase != "compute":
                raise
            self.steps.update(dict.fromkeys(new))
            return
        for number, step in enumerate(new):
            self.steps[step] = step_losses_of(records, number, epsilon_at(step))

    def tell(self, searches: Sequence[StepSearch]) -> None:
        """Each search what it wanted to know."""
        for search in searches:
            if not search.wanted:
                continue
            known = {step: self.steps[step] for step in search.wanted}
            whole = {step: each for step, each in known.items() if each is not None}
            search.tell(whole if len(whole) == len(known) else None, self.base)

    def measure_slopes(self, estimators: Sequence[Estimator]) -> None:
        """All slopes by each estimator."""
        directions = self.questions.directions
        records = self._run([self._probe(each, directions) for each in estimators])
        for number, estimator in enumerate(estimators):
            self.slopes[estimator] = slopes_of(records, number)

    def measure_again(self, estimators: Sequence[Estimator]) -> None:
        """The loss and some slopes, in another process than before."""
        directions = self.questions.directions[:_REPEATED_DIRECTIONS]
        loss = self._loss(self.questions.batch)
        records = self._run([loss, *(self._probe(each, directions) for each in estimators)])
        self.losses.append((loss_of(records, 0),))
        for number, estimator in enumerate(estimators, start=1):
            self.again[estimator] = slopes_of(records, number)

    def evidence(self, failure: str | None = None) -> NumericEvidence:
        questions = self.questions
        return NumericEvidence(
            backend=self.backend,
            failure=failure,
            reference_loss=questions.reference_loss,
            exported_loss=questions.exported_loss,
            losses=tuple(self.losses),
            directions=questions.directions,
            exact=questions.exact,
            steps=tuple(each for _, each in sorted(self.steps.items()) if each is not None),
            calibration_loss=self.base if self.steps else None,
            measured=tuple(
                EstimatorSlopes(
                    estimator=estimator,
                    epsilon=best.epsilon if best is not None else None,
                    step_error=best.error if best is not None else None,
                    slopes=slopes,
                    again=self.again.get(estimator, ()),
                )
                for estimator, slopes in self.slopes.items()
                for best in (self.best.get(estimator),)
            ),
            passes=self.passes,
            wall_s=self.wall_s,
        )

    def _run(self, tasks: Sequence[Task]) -> list[Record]:
        started = time.monotonic()
        records = self.installed.run(
            examples=self.questions.examples,
            tasks=tasks,
            threads=self.threads,
            cpu_mask=self.cpu_mask,
            timeout_s=self.timeout_s,
            name=f"{self.run_name}-numerics-{self.jobs}",
        )
        self.wall_s += time.monotonic() - started
        self.jobs += 1
        self.passes += sum(_passes_of(task) for task in tasks)
        require_answers(records, tasks, self.installed.target.name)
        return records

    def _loss(self, batch: tuple[int, ...]) -> Task:
        """A task that tells the loss at θ, by a tangent where there is no other program."""
        programs = self.installed.bundle.manifest.programs
        if programs and not any(each.kind == "loss" for each in programs):
            first = self.questions.directions[:1]
            return ProbeTask(batch=batch, estimator="tangent", directions=first)
        return EvaluateTask(batch=batch)

    def _look(self, step: int) -> ProbeTask:
        return ProbeTask(
            batch=self.questions.calibration,
            estimator="central",
            epsilon=epsilon_at(step),
            directions=self.questions.directions[:_CALIBRATION_DIRECTIONS],
        )

    def _probe(self, estimator: Estimator, directions: tuple[Seed, ...]) -> ProbeTask:
        best = self.best.get(estimator)
        return ProbeTask(
            batch=self.questions.batch,
            estimator=estimator,
            epsilon=None if best is None else best.epsilon,
            directions=directions,
        )


def _passes_of(task: Task) -> int:
    if isinstance(task, ProbeTask):
        return _slope_passes(task.estimator, len(task.directions))
    return 1
