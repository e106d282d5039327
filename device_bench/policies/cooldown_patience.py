"""A job began although the device was still too hot for the cooldown gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    for job in jobs:
        conditions = job.measurement.conditions
        if conditions is not None and conditions.gate == "timed out":
            heat = ", ".join(
                f"{group} {celsius:.1f} °C" for group, celsius in conditions.before.celsius.items()
            )
            yield Finding(
                job.measurement.position,
                f"began after {conditions.waited_s:.0f} s at {heat}",
                max(conditions.before.celsius.values(), default=0.0),
            )


COOLDOWN_PATIENCE = Policy(
    "began-hot",
    "jobs began although the device had not cooled down within the patience of the gate",
    "move the device to a cooler place, out of its case and off its charger, or give it more "
    "--cooldown-patience",
    _look,
)
