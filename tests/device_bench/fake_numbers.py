"""What a stand-in for a backend computes: a loss with a known slope, curvature and rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from android_harness.job import EvaluateTask, ProbeTask, Task
from android_harness.records import EvaluationRecord, ProbeRecord, Record


@dataclass
class FakeNumbers:
    """L(θ + εv) = loss + scale · (slope · ε + curvature · ε² / 2 + third · ε³ / 6) + rounding.

    Slopes are `exact` by direction, those of other directions drawn by their seed. Rounding is
    normal, and the same whenever the same loss is asked for; `unsteady` is not.

    Args:
        relative_errors: by estimator, instead of those that differences would have.
    """

    exact: Mapping[int, float] = field(default_factory=dict)
    loss: float = 6.0
    scale: float = 1.0
    curvature: float = 2.0
    third: float = 10.0
    rounding: float = 1e-6
    unsteady: float = 0.0
    relative_errors: Mapping[str, float] | None = None
    processes: int = 0

    def begin_process(self) -> None:
        self.processes += 1
        self._unsteady = np.random.default_rng(self.processes)

    def answer(self, number: int, task: Task) -> list[Record]:
        if isinstance(task, EvaluateTask):
            return [
                EvaluationRecord(
                    event="evaluation",
                    task=number,
                    loss=self._loss(0, 0.0),
                    positions=1,
                    predictions=(0,),
                    wall_ns=1,
                    cpu_ns=1,
                )
            ]
        assert isinstance(task, ProbeTask)
        return [self._probe(number, task, seed) for seed in task.directions]

    def slope(self, seed: int) -> float:
        return self.exact.get(seed, float(np.random.default_rng(seed).normal()))

    def _probe(self, number: int, task: ProbeTask, seed: int) -> ProbeRecord:
        base, step = self._loss(0, 0.0), task.epsilon or 0.0
        plus, minus = self._loss(seed, step), self._loss(seed, -step)
        slope = self.scale * self.slope(seed)
        if self.relative_errors is not None:
            slope *= 1 + self.relative_errors[task.estimator]
        elif task.estimator == "central":
            slope = (plus - minus) / (2 * step)
        elif task.estimator == "forward":
            slope = (plus - base) / step
        return ProbeRecord(
            event="probe",
            task=number,
            direction=seed,
            slope=slope if math.isfinite(self.loss) else math.nan,
            loss_plus=base if task.estimator == "tangent" else plus,
            loss_minus=minus if task.estimator == "central" else base,
        )

    def _loss(self, seed: int, offset: float) -> float:
        key = [seed % 2**32, *np.array([offset]).view(np.uint32).tolist()]
        rounding = self.rounding * np.random.default_rng(key).normal()
        change = self.slope(seed) * offset + self.curvature * offset**2 / 2
        change = self.scale * (change + self.third * offset**3 / 6)
        return float(self.loss + change + rounding + self.unsteady * self._unsteady.normal())
