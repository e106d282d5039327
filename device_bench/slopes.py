"""slopes.json: slopes that a device measured where the bundle's export measured exact ones.

Timings say what a slope costs on a device; this says how exact it is there, with the device's own
arithmetic, for each estimator of the sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import FiniteFloat, PositiveFloat, model_validator

from android_harness.errors import IncompleteRunError
from android_harness.examples import Example, write_examples
from android_harness.job import Estimator, ProbeTask
from android_harness.records import LoadRecord, ProbeRecord, Record
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.profile import SlopeError
from exporters.contract import Contract, Part
from exporters.lora.combination import Seed
from exporters.manifest import Parity, SlopeReference

SLOPES_NAME = "slopes.json"
SLOPE_EXAMPLES_NAME = "slope-examples.jsonl"

# Of differences where the export compared tangents alone. With activations in 8 bits the error is
# least at about this step (rounding grows below it, curvature above); without, it hardly matters.
_EPSILON = 1e-2


class EstimatorSlopes(Part):
    """The slopes by one estimator, in the order of the directions, in nats per unit of them."""

    estimator: Estimator
    epsilon: PositiveFloat | None  # None: a tangent has no step
    slopes: tuple[FiniteFloat, ...]


class SlopeComparison(Contract):
    """Slopes by each estimator beside the exact ones of the manifest's `SlopeReference`."""

    word: ClassVar[str] = "slope comparison"

    backend: str
    directions: tuple[Seed, ...]
    exact: tuple[FiniteFloat, ...]
    measured: tuple[EstimatorSlopes, ...]

    @model_validator(mode="after")
    def _one_slope_for_each_direction(self) -> SlopeComparison:
        for slopes in (self.exact, *(each.slopes for each in self.measured)):
            if len(slopes) != len(self.directions):
                raise ValueError(f"{len(slopes)} slopes for {len(self.directions)} directions")
        return self

    def errors(self) -> tuple[SlopeError, ...]:
        """The error of each estimator; none where all exact slopes are 0."""
        exact = np.array(self.exact)
        norm = float(np.linalg.norm(exact))
        if norm == 0:
            return ()
        return tuple(
            SlopeError(
                estimator=each.estimator,
                epsilon=each.epsilon,
                directions=len(self.directions),
                relative_error=float(np.linalg.norm(np.array(each.slopes) - exact)) / norm,
            )
            for each in self.measured
        )


def measure_slopes(
    installed: InstalledRunner,
    parity: Parity,
    reference: SlopeReference,
    estimators: Sequence[Estimator],
    folder: Path,
    *,
    threads: int,
    cpu_mask: str | None,
    timeout_s: float | None,
    name: str | None = None,
) -> list[Record]:
    """Measures the reference's slopes by each estimator in one job, and writes slopes.json.

    Differences take the step at which the export compared the artifact, where it has one. `name` is
    that of the run. Returns the records.

    Raises:
        IncompleteRunError: a slope is missing.
        DeviceError: the job failed.
    """
    examples = folder / SLOPE_EXAMPLES_NAME
    write_examples(examples, [Example(row[:-1], row[1:]) for row in reference.sequences])
    tasks = [
        ProbeTask(
            batch=tuple(range(len(reference.sequences))),
            estimator=estimator,
            epsilon=None if estimator == "tangent" else parity.epsilon or _EPSILON,
            directions=reference.directions,
        )
        for estimator in estimators
    ]
    records = installed.run(
        examples=examples,
        tasks=tasks,
        threads=threads,
        cpu_mask=cpu_mask,
        timeout_s=timeout_s,
        name=name,
    )
    loads = [record for record in records if isinstance(record, LoadRecord)]
    probes = [record for record in records if isinstance(record, ProbeRecord)]
    if not loads or len(probes) != len(tasks) * len(reference.directions):
        raise IncompleteRunError(
            f"the job gave {len(loads)} load records and {len(probes)} of "
            f"{len(tasks) * len(reference.directions)} slopes",
            device=installed.target.name,
        )
    SlopeComparison(
        backend=loads[0].backend,
        directions=reference.directions,
        exact=reference.slopes,
        measured=tuple(
            EstimatorSlopes(
                estimator=task.estimator,
                epsilon=task.epsilon,
                slopes=tuple(probe.slope for probe in probes if probe.task == number),
            )
            for number, task in enumerate(tasks)
        ),
    ).write(folder / SLOPES_NAME)
    return records
