"""The numeric gate's jobs: losses, steps, and slopes at the best of them, in few passes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from android_harness.errors import IncompleteRunError, NotFiniteError, RunnerFailedError
from android_harness.job import Estimator, EvaluateTask, ProbeTask, Task
from android_harness.records import EvaluationRecord, LoadRecord, ProbeRecord, Record
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.numerics.contract import EstimatorSlopes, NumericEvidence, StepLosses
from device_bench.numerics.questions import Questions
from device_bench.numerics.step_search import BestStep, StepSearch, epsilon_at

NUMERICS_NAME = "numerics.json"

_LOSSES = 3  # of each process that is asked for any
_PROCESSES = 2  # that measure all slopes
_CALIBRATION_DIRECTIONS = 8


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

    The first job measures the loss and what rounding does at the finest step, the next ones look
    for the best step of each difference estimator (`StepSearch`), and the last two, in processes
    of their own, measure the loss again and all slopes by each estimator.

    Args:
        run_name: how the names of the jobs on the device begin.
        report: called before each job with what it is for.

    Raises:
        IncompleteRunError: an answer is missing.
        DeviceError: a job failed, but for a backend that computes no finite number: that is
            evidence too.
    """
    asked = _Asked(installed, questions, threads, cpu_mask, timeout_s, run_name)
    differences = [each for each in estimators if each != "tangent"]
    searches = [StepSearch(estimator) for estimator in differences]
    most = most_passes(estimators, len(questions.directions))
    size = f"at most {most} passes of {questions.tokens} tokens"
    try:
        report(f"numeric gate: loss and rounding ({size})")
        first = asked.begin(searches)
        while wanted := sorted({step for search in searches for step in search.wanted}):
            report(f"numeric gate: ε {', '.join(f'{epsilon_at(step):.2g}' for step in wanted)}")
            asked.look_at(wanted)
            asked.tell(searches)
        asked.best = {search.estimator: search.best() for search in searches}
        for number in range(_PROCESSES):
            report(f"numeric gate: slopes, process {number + 1} of {_PROCESSES}")
            asked.slopes(estimators)
    except RunnerFailedError as error:
        if error.phase != "compute":
            raise
        return asked.evidence(failure=error.message), []
    return asked.evidence(), first


def most_passes(estimators: Sequence[Estimator], directions: int) -> int:
    """Forward passes over the questions' tokens that a gate takes at most; a tangent counts one."""
    slopes = {"central": 2 * directions, "forward": 1 + directions, "tangent": 1 + directions}
    calibrating = min(directions, _CALIBRATION_DIRECTIONS)
    looks = {"central": 2, "forward": 1, "tangent": 0}
    return (
        _LOSSES * (1 + _PROCESSES)
        + _PROCESSES * sum(slopes[estimator] for estimator in estimators)
        + StepSearch.TURNS * 2 * calibrating * sum(looks[estimator] for estimator in estimators)
    )


@dataclass
class _Asked:
    """The jobs on one device, and what they have answered so far."""

    installed: InstalledRunner
    questions: Questions
    threads: int
    cpu_mask: str | None
    timeout_s: float | None
    run_name: str
    backend: str | None = None
    losses: list[tuple[float, ...]] = field(default_factory=list)
    steps: dict[int, StepLosses | None] = field(default_factory=dict)
    found: dict[Estimator, list[tuple[float, ...]]] = field(default_factory=dict)
    best: dict[Estimator, BestStep] = field(default_factory=dict)
    jobs: int = 0
    passes: int = 0
    wall_s: float = 0.0

    def begin(self, searches: Sequence[StepSearch]) -> list[Record]:
        """The loss, and the finest steps. Returns the job's records."""
        wanted = sorted({step for search in searches for step in search.wanted})
        losses = self._loss_tasks()
        records = self._run([*losses, *(self._look(step) for step in wanted)])
        self.backend = next(each.backend for each in records if isinstance(each, LoadRecord))
        self.losses.append(_losses(records, len(losses)))
        for number, step in enumerate(wanted, start=len(losses)):
            self.steps[step] = _step_losses(records, number, epsilon_at(step))
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
            self.steps[step] = _step_losses(records, number, epsilon_at(step))

    def tell(self, searches: Sequence[StepSearch]) -> None:
        """Each search what it wanted to know."""
        base = self.losses[0][0]
        for search in searches:
            if not search.wanted:
                continue
            known = {step: self.steps[step] for step in search.wanted}
            whole = {step: each for step, each in known.items() if each is not None}
            search.tell(whole if len(whole) == len(known) else None, base)

    def slopes(self, estimators: Sequence[Estimator]) -> None:
        """The loss again, and the slopes by each estimator, in a process of their own."""
        losses = self._loss_tasks()
        records = self._run([*losses, *(self._probe(each) for each in estimators)])
        self.losses.append(_losses(records, len(losses)))
        for number, estimator in enumerate(estimators, start=len(losses)):
            slopes = tuple(probe.slope for probe in _probes(records, number))
            self.found.setdefault(estimator, []).append(slopes)

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
            steps=tuple(self.steps[step] for step in sorted(self.steps) if self.steps[step]),
            measured=tuple(
                EstimatorSlopes(
                    estimator=estimator,
                    epsilon=best.epsilon if best is not None else None,
                    step_error=best.error if best is not None else None,
                    slopes=tuple(slopes),
                )
                for estimator, slopes in self.found.items()
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
        self._require_all(records, tasks)
        return records

    def _require_all(self, records: Sequence[Record], tasks: Sequence[Task]) -> None:
        for number, task in enumerate(tasks):
            wanted = len(task.directions) if isinstance(task, ProbeTask) else 1
            probes, evaluations = _probes(records, number), _evaluations(records, number)
            given = len(probes) + len(evaluations)
            numbers = [
                *(each.loss for each in evaluations),
                *(n for each in probes for n in (each.slope, each.loss_plus, each.loss_minus)),
            ]
            if not all(math.isfinite(each) for each in numbers):
                raise NotFiniteError(device=self.installed.target.name)
            if given != wanted:
                raise IncompleteRunError(
                    f"a task of the numeric gate gave {given} of {wanted} answers",
                    device=self.installed.target.name,
                )

    def _loss_tasks(self) -> list[Task]:
        """Tasks that each tell the loss at θ, by a tangent where there is no other program."""
        programs = self.installed.bundle.manifest.programs
        if programs and not any(each.kind == "loss" for each in programs):
            first = self.questions.directions[:1]
            return [
                ProbeTask(batch=self.questions.batch, estimator="tangent", directions=first)
            ] * _LOSSES
        return [EvaluateTask(batch=self.questions.batch)] * _LOSSES

    def _look(self, step: int) -> ProbeTask:
        few = self.questions.directions[:_CALIBRATION_DIRECTIONS]
        return ProbeTask(
            batch=self.questions.batch,
            estimator="central",
            epsilon=epsilon_at(step),
            directions=few,
        )

    def _probe(self, estimator: Estimator) -> ProbeTask:
        best = self.best.get(estimator)
        return ProbeTask(
            batch=self.questions.batch,
            estimator=estimator,
            epsilon=None if best is None else best.epsilon,
            directions=self.questions.directions,
        )


def _passes_of(task: Task) -> int:
    if not isinstance(task, ProbeTask):
        return 1
    directions = len(task.directions)
    return 2 * directions if task.estimator == "central" else 1 + directions


def _probes(records: Sequence[Record], task: int) -> list[ProbeRecord]:
    return [each for each in records if isinstance(each, ProbeRecord) and each.task == task]


def _evaluations(records: Sequence[Record], task: int) -> list[EvaluationRecord]:
    return [each for each in records if isinstance(each, EvaluationRecord) and each.task == task]


def _losses(records: Sequence[Record], tasks: int) -> tuple[float, ...]:
    """The losses at θ that the first tasks of a job told."""
    return tuple(
        loss
        for number in range(tasks)
        for loss in (
            *(each.loss for each in _evaluations(records, number)),
            *(each.loss_plus for each in _probes(records, number)),
        )
    )


def _step_losses(records: Sequence[Record], task: int, epsilon: float) -> StepLosses:
    probes = _probes(records, task)
    return StepLosses(
        epsilon=epsilon,
        plus=tuple(each.loss_plus for each in probes),
        minus=tuple(each.loss_minus for each in probes),
    )
