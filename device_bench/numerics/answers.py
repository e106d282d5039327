"""What the records of a job of the numeric gate answer to its tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from android_harness.errors import IncompleteRunError, NotFiniteError
from android_harness.job import ProbeTask, Task
from android_harness.records import EvaluationRecord, ProbeRecord, Record
from device_bench.numerics.contract import StepLosses


def require_answers(records: Sequence[Record], tasks: Sequence[Task], device: str) -> None:
    """Lets records pass that answer every task with finite numbers.

    Raises:
        IncompleteRunError: an answer is missing.
        NotFiniteError: a number is not finite.
    """
    for number, task in enumerate(tasks):
        wanted = len(task.directions) if isinstance(task, ProbeTask) else 1
        probes, evaluations = _probes(records, number), _evaluations(records, number)
        given = len(probes) + len(evaluations)
        numbers = [
            *(each.loss for each in evaluations),
            *(n for each in probes for n in (each.slope, each.loss_plus, each.loss_minus)),
        ]
        if not all(math.isfinite(each) for each in numbers):
            raise NotFiniteError(device=device)
        if given != wanted:
            raise IncompleteRunError(
                f"a task of the numeric gate gave {given} of {wanted} answers", device=device
            )


def loss_of(records: Sequence[Record], task: int) -> float:
    """The loss at θ that a task told."""
    evaluations = _evaluations(records, task)
    return evaluations[0].loss if evaluations else _probes(records, task)[0].loss_plus


def slopes_of(records: Sequence[Record], task: int) -> tuple[float, ...]:
    return tuple(probe.slope for probe in _probes(records, task))


def step_losses_of(records: Sequence[Record], task: int, epsilon: float) -> StepLosses:
    probes = _probes(records, task)
    return StepLosses(
        epsilon=epsilon,
        plus=tuple(each.loss_plus for each in probes),
        minus=tuple(each.loss_minus for each in probes),
    )


def _probes(records: Sequence[Record], task: int) -> list[ProbeRecord]:
    return [each for each in records if isinstance(each, ProbeRecord) and each.task == task]


def _evaluations(records: Sequence[Record], task: int) -> list[EvaluationRecord]:
    return [each for each in records if isinstance(each, EvaluationRecord) and each.task == task]
