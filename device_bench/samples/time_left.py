"""How long a sweep will take still."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from device_bench.plans.sweep_plan import Arm, SweepPlan
from device_bench.profiles.profile import BackendProfile
from device_bench.samples.measurement import Measurement
from device_bench.samples.outstanding import jobs_left


@dataclass(frozen=True)
class TimeLeft:
    """Seconds that are left, modelled: if every arm is done as early as it may, and as late.

    Attributes:
        jobs: that are left, likewise.
        seconds: None: nothing tells how long a job takes.
    """

    jobs: tuple[int, int]
    seconds: tuple[float, float] | None


def all_left(parts: Sequence[TimeLeft]) -> TimeLeft:
    """What is left of several sweeps that take turns."""
    known = [part.seconds for part in parts if part.seconds is not None]
    return TimeLeft(
        (sum(part.jobs[0] for part in parts), sum(part.jobs[1] for part in parts)),
        (sum(least for least, _ in known), sum(most for _, most in known))
        if len(known) == len(parts)
        else None,
    )


def time_left(
    plan: SweepPlan, measurements: Sequence[Measurement], modelled: Mapping[Arm, float]
) -> TimeLeft:
    """What is left of a sweep by the jobs of it that are done.

    A job takes as long as the median of its arm's jobs did, with loading the model and transfers;
    before there is one, what is modelled of the arm, or else the mean of the arms that are known.

    Args:
        modelled: seconds of a job of each arm, as far as known (`job_seconds`).
    """
    left = jobs_left(plan, measurements)
    jobs = (sum(least for least, _ in left.values()), sum(most for _, most in left.values()))
    known = {**modelled, **_measured(measurements)}
    if not left or known:
        mean = float(np.mean(list(known.values()))) if known else 0.0
        seconds = {arm: known.get(arm, mean) for arm in left}
        return TimeLeft(
            jobs,
            (
                sum(seconds[arm] * least for arm, (least, _) in left.items()),
                sum(seconds[arm] * most for arm, (_, most) in left.items()),
            ),
        )
    return TimeLeft(jobs, None)


def least_seconds(plan: SweepPlan, jobs: int) -> float:
    """What the timed repetitions of so many jobs last at least; the shortest that is certain."""
    return jobs * plan.repetitions * plan.minimum_ms / 1e3


def job_seconds(plan: SweepPlan, backend: BackendProfile) -> dict[Arm, float]:
    """Seconds of each arm's job by an earlier profile, where that knows them, without transfers.

    A warm-up settles as soon as it may.
    """
    loading = 0.0 if backend.load_seconds is None else backend.load_seconds.value
    seconds = {}
    for arm in plan.arms:
        per_probe = _seconds_per_probe(arm, backend)
        if per_probe is not None:
            once = arm.directions_per_pass * per_probe
            steady = plan.repetitions * max(plan.minimum_ms / 1e3, once)
            seconds[arm] = loading + once + plan.warmup.least_seconds(once) + steady
    return seconds


def _seconds_per_probe(arm: Arm, backend: BackendProfile) -> float | None:
    """As measured, or else by the cost model, on whatever threads and cores the profile is of."""
    for summary in backend.arms:
        if summary.setting == arm.setting:
            return summary.seconds_per_probe.value
    return backend.modelled_seconds(arm.setting)


def _measured(measurements: Sequence[Measurement]) -> dict[Arm, float]:
    """Seconds of a job of each measured arm, by this machine's clock."""
    by_arm: dict[Arm, list[float]] = defaultdict(list)
    for measurement in measurements:
        by_arm[measurement.arm].append(measurement.host_seconds)
    return {arm: float(np.median(seconds)) for arm, seconds in by_arm.items()}
