"""Times that rise, where nothing but the times tells of throttling: of a GPU or an NPU, as a rule.

All jobs of a backend are looked at together: those of one arm are too few to tell a trend from
noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from device_bench.plans.sweep_plan import Arm
from device_bench.policies.change_point import slower_from
from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy
from device_bench.policies.trend import pooled_rise

_MOST_RISE = 0.05
_REMEDY = "let the device cool down, close other programs, and measure into a new folder"


def _within_jobs(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    dark = [job for job in jobs if not job.tells_throttling]
    rise = pooled_rise(
        (
            (job.times_ns - job.times_ns[0]) / max(np.ptp(job.times_ns), 1.0),
            job.seconds / np.median(job.seconds),
        )
        for job in dark
    )
    if rise is None or rise.low <= 0 or rise.value <= _MOST_RISE:
        return
    text = (
        f"{rise.value:+.0%} from a job's first repetition to its last, "
        f"99.9 % interval {rise.low:+.0%} to {rise.high:+.0%}"
    )
    for job in dark:
        yield Finding(job.measurement.position, text, rise.value)


def _over_the_sweep(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    dark = sorted(
        (job for job in jobs if not job.tells_throttling), key=lambda job: job.measurement.position
    )
    of_arms: dict[Arm, list[float]] = defaultdict(list)
    for job in dark:
        of_arms[job.measurement.arm].append(float(np.median(job.seconds)))
    relative = np.array(
        [np.median(job.seconds) / np.median(of_arms[job.measurement.arm]) for job in dark]
    )
    slower = slower_from(relative)
    if slower is None:
        return
    change = float(np.median(relative[slower:]) / np.median(relative[:slower]))
    for job in dark[slower:]:
        text = f"{change - 1:+.0%} from the sweep's job {dark[slower].measurement.position} on"
        yield Finding(job.measurement.position, text, change)


SLOWING_WITHIN_JOBS = Policy(
    "slowing-within-jobs",
    f"repetitions rose by more than {_MOST_RISE:.0%} from the begin of jobs to their end, and the "
    "device tells no thermal status",
    _REMEDY,
    _within_jobs,
)
SLOWING_OVER_THE_SWEEP = Policy(
    "slowing-over-the-sweep",
    "from one job of the sweep on, all arms took longer by 5 % or more, and the device tells no "
    "thermal status",
    _REMEDY,
    _over_the_sweep,
)
