"""A fixed piece of arithmetic took longer beside a job than beside the sweep's best one.

AndroidX Benchmark's fallback where Android does not tell its thermal status: throttled above 1.1
times the baseline (`ThrottleDetector.kt`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

_MOST_OF_BEST = 1.1


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    on_cpu = [job for job in jobs if job.measurement.on_cpu]
    best: dict[str | None, int] = {}
    for job in on_cpu:
        mask, fastest_ns = job.measurement.cpu_mask, min(_paces_ns(job))
        best[mask] = min(fastest_ns, best.get(mask, fastest_ns))
    for job in on_cpu:
        ratio = max(_paces_ns(job)) / best[job.measurement.cpu_mask]
        if ratio > _MOST_OF_BEST:
            yield Finding(
                job.measurement.position,
                f"a fixed loop took {ratio:.2f} times as long as at best",
                ratio,
            )


def _paces_ns(job: JobEvidence) -> tuple[int, int]:
    return job.measurement.pace_before_ns, job.measurement.pace_after_ns


PACE = Policy(
    "pace-fell",
    f"a fixed loop of arithmetic took more than {_MOST_OF_BEST:g} times as long around jobs as "
    "around the sweep's best one: the core was slower, or was shared",
    "let the device cool down, close other programs, and pin the job with --cores",
    _look,
)
