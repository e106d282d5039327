"""Times that rise, where nothing but the times tells of throttling.

All jobs of a backend are looked at together: those of one arm are too few to tell a trend from
noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from device_bench.plan import Arm
from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy
from device_bench.policies.trend import Rise, pooled_rise

_MOST_RISE = 0.05
_REMEDY = "let the device cool down, close other programs, and measure into a new folder"


def _within_jobs(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    dark = [job for job in jobs if not job.tells_throttling and len(job.seconds) > 1]
    rise = pooled_rise(
        (
            (job.times_ns - job.times_ns[0]) / max(np.ptp(job.times_ns), 1.0),
            job.seconds / np.median(job.seconds),
        )
        for job in dark
    )
    yield from _findings(dark, rise, "from a job's first repetition to its last")


def _over_the_sweep(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    dark = [job for job in jobs if not job.tells_throttling]
    by_arm: dict[Arm, list[JobEvidence]] = defaultdict(list)
    for job in dark:
        by_arm[job.measurement.arm].append(job)
    last = max((job.measurement.position for job in dark), default=0)
    strata = []
    for of_arm in by_arm.values():
        medians = np.array([np.median(job.seconds) for job in of_arm])
        positions = np.array([float(job.measurement.position) for job in of_arm])
        strata.append((positions / max(last, 1), medians / np.median(medians)))
    yield from _findings(dark, pooled_rise(strata), "from the sweep's first job to its last")


def _findings(jobs: Sequence[JobEvidence], rise: Rise | None, where: str) -> Iterator[Finding]:
    if rise is None or rise.low <= 0 or rise.value <= _MOST_RISE:
        return
    text = f"{rise.value:+.0%} {where}, 99.9 % interval {rise.low:+.0%} to {rise.high:+.0%}"
    for job in jobs:
        yield Finding(job.measurement.position, text, rise.value)


SLOWING_WITHIN_JOBS = Policy(
    "slowing-within-jobs",
    f"repetitions rose by more than {_MOST_RISE:.0%} from the begin of jobs to their end, and "
    "neither the thermal status nor frequencies tell why",
    _REMEDY,
    _within_jobs,
)
SLOWING_OVER_THE_SWEEP = Policy(
    "slowing-over-the-sweep",
    f"jobs rose by more than {_MOST_RISE:.0%} from the sweep's begin to its end, and neither the "
    "thermal status nor frequencies tell why",
    _REMEDY,
    _over_the_sweep,
)
