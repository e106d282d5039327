"""Android says itself that it throttles.

Any status above "none" counts: "light" alone took a call from 55 to 72 ms (AndroidX Benchmark,
`ThrottleDetector.kt`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    for job in jobs:
        if job.thermal_status:
            name = _NAMES[min(job.thermal_status, len(_NAMES) - 1)]
            yield Finding(
                job.measurement.position,
                f"thermal status {job.thermal_status} ({name})",
                job.thermal_status,
            )


THERMAL_STATUS = Policy(
    "thermal-status-raised",
    "the device said that it throttled while jobs ran",
    "let the device cool down out of its case and off its charger, and keep the cooldown gate on",
    _look,
)
