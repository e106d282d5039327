"""Other programs took the cores: a job's threads got less CPU time than those of the arm's best.

A thread that computes without waiting uses one core. Threads of a job wait for each other, and
those that spin meanwhile use their core too, so that one preempted thread costs the job all its
time and its CPU share only that thread's part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from device_bench.plans.sweep_plan import Arm, placement_text
from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

_MOST_LOST_CORES = 0.1


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    on_cpu = [job for job in jobs if job.measurement.on_cpu]
    best: dict[Arm, float] = defaultdict(float)
    for job in on_cpu:
        arm, alone = job.measurement.arm, job.measurement.threads == 1
        best[arm] = max(best[arm], job.cores, 1.0 if alone else 0.0)
    for job in on_cpu:
        lost = best[job.measurement.arm] - job.cores
        if lost > _MOST_LOST_CORES:
            yield Finding(
                job.measurement.position,
                f"{placement_text(*job.measurement.arm.placement)} got {job.cores:.2f} cores, "
                f"{best[job.measurement.arm]:.2f} at best",
                lost,
            )


INTERFERENCE = Policy(
    "cores-were-shared",
    f"jobs got less CPU time than the arm's best job, by more than {_MOST_LOST_CORES:g} cores: "
    "other programs ran, or the threads waited for memory",
    "close other programs, use fewer --threads than there are cores, or pin the job with --cores",
    _look,
)
