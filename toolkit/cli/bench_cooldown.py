"""What `fwdllm bench` asks of a device between jobs, and how it tells of heat."""

from __future__ import annotations

from android_harness.fleet.task_queue import Report
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.conditions.cooldown import CooldownGate
from device_bench.conditions.job_boundaries import JobBoundaries


def boundaries_on(
    installed: InstalledRunner, above_c: float | None, patience_s: float, report: Report
) -> JobBoundaries:
    """The boundaries of all jobs on a device; a job that waits is reported as a stage of its own.

    Args:
        above_c, patience_s: of the gate.
    """

    def tell(words: str, waited_s: float, most_s: float) -> None:
        report("cooldown", round(waited_s), round(most_s), words)

    return JobBoundaries(
        installed.target,
        installed.facts,
        patience_s=installed.patience_s,
        gate=CooldownGate(above_c, patience_s),
        tell=tell,
    )


def warmth(boundaries: JobBoundaries) -> float | None:
    """Degrees Celsius of the device's skin, or else of its battery, when it was last asked."""
    status = boundaries.last
    if status is None:
        return None
    skin = status.thermal.hottest("skin")
    return status.battery.celsius if skin is None else skin.celsius
