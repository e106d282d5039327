"""The kernel held a processor back: a cooling device stood higher than at the sweep's calmest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from device_bench.policies.evidence import JobEvidence
from device_bench.policies.policy import Finding, Policy

# thermal-cpufreq-0, thermal-devfreq-1, cpu-isolate0, Processor; a fan or a charger slows nothing.
_SLOWS = re.compile(r"cpu|gpu|npu|tpu|devfreq|processor", re.IGNORECASE)


def _look(jobs: Sequence[JobEvidence]) -> Iterator[Finding]:
    lowest: dict[str, float] = {}
    for job in jobs:
        for device, state in job.cooling.items():
            lowest[device] = min(state, lowest.get(device, state))
    for job in jobs:
        risen = {
            device: state - lowest[device]
            for device, state in job.cooling.items()
            if _SLOWS.search(device) and state > lowest[device]
        }
        if risen:
            worst = max(risen, key=lambda device: risen[device])
            yield Finding(
                job.measurement.position,
                f"{worst} at step {job.cooling[worst]:.0f}, {lowest[worst]:.0f} at its lowest",
                risen[worst],
            )


COOLING_DEVICE = Policy(
    "cooling-rose",
    "the kernel slowed processors down to cool them while jobs ran",
    "let the device cool down out of its case and off its charger, and keep the cooldown gate on",
    _look,
)
