"""Which jobs of a sweep its policies flag, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from android_harness.telemetry.trace import NO_TRACE, Trace
from device_bench.policies.evidence import job_evidence
from device_bench.policies.row_findings import POLICIES
from device_bench.samples.measurement import Measurement


def flagged_jobs(
    measurements: Sequence[Measurement], trace: Trace | None
) -> Mapping[int, tuple[str, ...]]:
    """What was found, in words, by the position of the job; jobs without a finding are not there.

    Args:
        measurements: of any backends; each is judged beside its own.
    """
    found: dict[int, list[str]] = defaultdict(list)
    for backend in dict.fromkeys(job.backend for job in measurements):
        own = [job for job in measurements if job.backend == backend]
        evidence = job_evidence(own, trace or NO_TRACE)
        for policy in POLICIES:
            for finding in policy.look(evidence):
                found[finding.position].append(f"{policy.reason}: {finding.text}")
    return {position: tuple(words) for position, words in found.items()}
