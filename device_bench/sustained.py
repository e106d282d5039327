"""sustained.jsonl: one long run of an arm, from which it shows how a hot device goes on.

All repetitions are in one process that never stops: chunks in processes of their own would load the
model between them, and a phone cools down in seconds. The run goes on while the link is down,
and a killed host takes it up again; a run that the device itself ended has to start anew, cool.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from device_bench.errors import SweepSettingsError
from device_bench.plan import Arm
from device_bench.samples import SUSTAINED_NAME, Measurement, read_measurements

# A repetition of so long is a point of the curve.
POINT_S = 1.0


def largest_arm(arms: Sequence[Arm]) -> Arm:
    """The one with the most tokens evaluated at once; of several the first."""
    return max(arms, key=lambda arm: arm.batch * arm.tokens * arm.directions_per_pass)


def named_arm(arms: Sequence[Arm], name: str) -> Arm:
    """The first arm that is meant by `B,T,K` or `B,T,K,ESTIMATOR`.

    Raises:
        SweepSettingsError: there is none.
    """
    wanted = [part.strip() for part in name.split(",")]
    for arm in arms:
        parts = [str(arm.batch), str(arm.tokens), str(arm.directions_per_pass), arm.estimator]
        if wanted in (parts, parts[:3]):
            return arm
    raise SweepSettingsError(
        f"no arm of the sweep is {name!r}",
        remedy="name one as BATCH,TOKENS,DIRECTIONS or BATCH,TOKENS,DIRECTIONS,ESTIMATOR",
    )


def repetitions_for(minutes: float, arm: Arm, burst_seconds_per_probe: float) -> int:
    """How many repetitions, of `POINT_S` at least, last so long at the arm's burst speed."""
    repetition_s = max(POINT_S, burst_seconds_per_probe * arm.directions_per_pass)
    return max(math.ceil(60 * minutes / repetition_s), 1)


def sustained_seconds(measurement: Measurement) -> float:
    """From the begin of the first repetition to the end of the last."""
    first, last = measurement.samples[0], measurement.samples[-1]
    return (last.start_ns + last.wall_ns - first.start_ns) / 1e9


def longest_run(folder: Path, backend: str | None = None) -> Measurement | None:
    """The longest sustained run in a SAMPLES folder, of one backend or of any; None: none."""
    runs = [
        run
        for run in read_measurements(folder / SUSTAINED_NAME)
        if backend is None or run.backend == backend
    ]
    return max(runs, key=sustained_seconds, default=None)
