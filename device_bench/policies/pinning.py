"""The kernel ran a job on other cores than those asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    for job in jobs:
        asked, seen = job.measurement.arm.cpu_mask, job.measurement.cpu_mask
        if asked is not None and (seen is None or int(seen, 16) != int(asked, 16)):
            yield Finding(job.measurement.position, f"asked for {asked}, the kernel says {seen}", 1)


PINNING = Policy(
    "cpu-mask-not-applied",
    "the kernel ran the work on other cores than were asked for",
    "choose cores that the shell user may use, as fwdllm devices names them",
    _look,
)
