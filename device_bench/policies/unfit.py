"""A job began in a state to measure nothing in, by the rules of `fwdllm devices`.

How warm a device is after a job is no such state: jobs warm it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

# These have policies of their own, which look at the end of a job and at its middle too.
_ELSEWHERE = frozenset(["LOW-BATTERY", "POWER-SAVER", "THROTTLING"])


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    for job in jobs:
        codes = [
            code
            for boundary in job.boundaries[:1]
            for code, affects in boundary.unfit.items()
            if affects != "energy" and code not in _ELSEWHERE
        ]
        if codes:
            yield Finding(job.measurement.position, ", ".join(codes), len(codes))


UNFIT = Policy(
    "unfit-to-measure",
    "the device was in a state that shifts times, or does not tell its state",
    "see what fwdllm devices says of it, change that, and measure into a new folder",
    _look,
)
