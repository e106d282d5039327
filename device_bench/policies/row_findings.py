"""The findings of all policies on the jobs of one backend, row by row.

A flagged job stays in its row's numbers: to drop the slow ones is to report a device that nobody
has. Up to a third of flagged jobs moves a row's median to the upper quartile of the others at
most; from there on the row itself is suspect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from device_bench.plans.sweep_plan import Arm
from device_bench.policies.battery import BATTERY_LOW, BATTERY_SAVER
from device_bench.policies.cooldown_patience import COOLDOWN_PATIENCE
from device_bench.policies.cooling_device import COOLING_DEVICE
from device_bench.policies.core_frequency import CORE_FREQUENCY
from device_bench.policies.evidence import JobEvidence
from device_bench.policies.interference import INTERFERENCE
from device_bench.policies.pace import PACE
from device_bench.policies.pinning import PINNING
from device_bench.policies.policy import Finding, Policy
from device_bench.policies.slowing import SLOWING_OVER_THE_SWEEP, SLOWING_WITHIN_JOBS
from device_bench.policies.thermal_status import THERMAL_STATUS
from device_bench.policies.unfit import UNFIT
from device_bench.profiles.profile import RowFinding

POLICIES: tuple[Policy, ...] = (
    THERMAL_STATUS,
    CORE_FREQUENCY,
    COOLING_DEVICE,
    PACE,
    SLOWING_WITHIN_JOBS,
    SLOWING_OVER_THE_SWEEP,
    COOLDOWN_PATIENCE,
    INTERFERENCE,
    BATTERY_LOW,
    BATTERY_SAVER,
    PINNING,
    UNFIT,
)


def row_findings(jobs: Sequence[JobEvidence]) -> dict[Arm, tuple[RowFinding, ...]]:
    """What the policies found of each arm, in the order of `POLICIES`."""
    arms: dict[int, Arm] = {job.measurement.position: job.measurement.arm for job in jobs}
    rows: dict[Arm, list[RowFinding]] = {arm: [] for arm in arms.values()}
    for policy in POLICIES:
        by_arm: dict[Arm, list[Finding]] = defaultdict(list)
        for finding in policy.look(jobs):
            by_arm[arms[finding.position]].append(finding)
        for arm, findings in by_arm.items():
            rows[arm].append(
                RowFinding(
                    reason=policy.reason,
                    jobs=len(findings),
                    of=sum(each == arm for each in arms.values()),
                    worst=max(findings, key=lambda finding: finding.size).text,
                )
            )
    return {arm: tuple(findings) for arm, findings in rows.items()}


def reasons_of(findings: Sequence[RowFinding]) -> tuple[str, ...]:
    """Why a row is suspect: what was found of more than a third of its jobs."""
    return tuple(each.reason for each in findings if 3 * each.jobs > each.of)
