"""sustained.jsonl: one long run of an arm, from which it shows how a hot device goes on.

All repetitions are in one process that never stops: chunks in processes of their own would load the
model between them, and a phone cools down in seconds. The run goes on while the link is down,
and a killed host takes it up again; a run that the device itself ended has to start anew, cool.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import Arm
from device_bench.samples.measurement import Measurement
from device_bench.samples.placement import compare_placements, on_placement
from device_bench.samples.samples_folder import SUSTAINED_NAME, read_measurements
from device_bench.samples.time_left import TimeLeft

# A repetition of so long is a point of the curve.
POINT_MS = 1000
# The arm may have been slower in the sweep than it is now.
_MARGIN = 1.1


@dataclass(frozen=True)
class LongRun:
    """What is asked for: how long, and of which arm; None: the largest.

    Raises:
        SweepSettingsError: a length that is none.
    """

    minutes: float
    arm: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise SweepSettingsError(
                f"a long run cannot take {self.minutes:g} minutes",
                remedy="give it 10 minutes or more: phones throttle late",
            )

    def refuse_unless_among(self, arms: Sequence[Arm]) -> None:
        """Before anything is measured.

        Raises:
            SweepSettingsError: the arm that was asked for is not among them.
        """
        if self.arm is not None:
            named_arm(arms, self.arm)

    def choose(self, arms: Sequence[Arm], measurements: Sequence[Measurement]) -> Arm:
        """The arm, on the placement that was fastest: of that the profile is.

        Args:
            arms: of the sweep, in the order of its plan.
            measurements: of them, one at least.
        """
        fastest = on_placement(measurements, compare_placements(measurements)[0])
        measured = {each.arm for each in fastest}
        there = [arm for arm in arms if arm in measured]
        if self.arm is None:
            return largest_arm(there)
        return named_arm([*there, *arms], self.arm)


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


def repetitions_for(minutes: float, burst: Sequence[Measurement]) -> int:
    """How many repetitions of `POINT_MS` or more last so long, by the arm's jobs in the sweep."""
    directions = burst[0].arm.directions_per_pass
    probe_s = float(np.median([value for job in burst for value in job.steady_seconds]))
    return math.ceil(_MARGIN * 60 * minutes / max(POINT_MS / 1000, directions * probe_s))


def long_run_left(asked: LongRun | None, folder: Path) -> TimeLeft:
    """What a long run adds to what is left of a SAMPLES folder's sweep; nothing once it is there.

    Raises:
        SamplesError: sustained.jsonl is damaged.
    """
    seconds = 0.0
    if asked is not None and longest_run(folder, seconds=60 * asked.minutes) is None:
        seconds = _MARGIN * 60 * asked.minutes
    return TimeLeft((0, 0), (seconds, seconds))


def long_run_timeout_s(timeout_s: float | None, minutes: float) -> float | None:
    """The limit of a long run beside that of other jobs; hot, it may take twice its time."""
    return None if timeout_s is None else timeout_s + 2 * _MARGIN * 60 * minutes


def sustained_seconds(measurement: Measurement) -> float:
    """From the begin of the first repetition to the end of the last."""
    start_ns, end_ns = measurement.span_ns
    return (end_ns - start_ns) / 1e9


def longest_run(
    folder: Path, *, backend: str | None = None, arm: Arm | None = None, seconds: float = 0.0
) -> Measurement | None:
    """The longest run in a SAMPLES folder of so many seconds at least; None: there is none.

    Args:
        backend, arm: of which it is; None: of any.
    """
    runs = [
        run
        for run in read_measurements(folder / SUSTAINED_NAME)
        if backend in (None, run.backend) and arm in (None, run.arm)
    ]
    longest = max(runs, key=sustained_seconds, default=None)
    return None if longest is None or sustained_seconds(longest) < seconds else longest
