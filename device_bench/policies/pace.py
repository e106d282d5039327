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
        for pace_ns in _paces_ns(job):
            mask = job.measurement.cpu_mask
            best[mask] = min(pace_ns, best.get(mask, pace_ns))
    for job in on_cpu:
        slowest_ns = max(_paces_ns(job), default=0)
        if slowest_ns and slowest_ns > _MOST_OF_BEST * best[job.measurement.cpu_mask]:
            ratio = slowest_ns / best[job.measurement.cpu_mask]
            yield Finding(
                job.measurement.position,
                f"a fixed loop took {ratio:.2f} times as long as at best",
                ratio,
            )


def _paces_ns(job: JobEvidence) -> list[int]:
    told = (job.measurement.pace_before_ns, job.measurement.pace_after_ns)
    return [pace_ns for pace_ns in told if pace_ns]


PACE = Policy(
    "pace-fell",
    f"a fixed loop of arithmetic took more than {_MOST_OF_BEST:g} times as long around jobs as "
    "around the sweep's best one: the core was slower, or was shared",
    "let the device cool down, close other programs, and pin the job with --cpu-mask",
    _look,
)
