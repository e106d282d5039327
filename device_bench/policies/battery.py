"""A battery that is nearly empty, or saved: Android slows down for either.

What is plugged in changes no time; energy measured then counts for nothing
(`fitting/arm_energy.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

# AndroidX Benchmark refuses below this level.
_LOWEST_PERCENT = 25


def _low(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    for job in jobs:
        told = (each.battery_percent for each in job.boundaries)
        lowest = min((level for level in told if level is not None), default=None)
        if lowest is not None and lowest < _LOWEST_PERCENT:
            yield Finding(
                job.measurement.position, f"the battery was at {lowest:.0f} %", 100 - lowest
            )


def _saved(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    for job in jobs:
        if any(each.power_saver for each in job.boundaries):
            yield Finding(job.measurement.position, "battery saver was on", 1)


BATTERY_LOW = Policy(
    "battery-low",
    f"the battery was below {_LOWEST_PERCENT} % beside jobs: phones slow down to save it",
    "charge the device and measure into a new folder",
    _low,
)
BATTERY_SAVER = Policy(
    "battery-saver-on",
    "battery saver was on beside jobs: it lowers frequencies",
    "switch it off, or leave --settings at measuring, and measure into a new folder",
    _saved,
)
