"""What `fwdllm bench` asks of a device between jobs, and how it tells of heat."""

from __future__ import annotations

from android_harness.fleet.task_queue import Report
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.conditions.cooldown import COOL_C, PATIENCE_S, CooldownGate
from device_bench.conditions.job_boundaries import JobBoundaries
from device_bench.plans.bench_plan import BenchPlan


def boundaries_on(installed: InstalledRunner, asked: BenchPlan, report: Report) -> JobBoundaries:
    """The boundaries of all jobs on a device; one that waits is reported as a stage of its own."""
    above_c = COOL_C if asked.cooldown_above is None else asked.cooldown_above
    patience_s = PATIENCE_S if asked.cooldown_patience is None else asked.cooldown_patience

    def tell(words: str, waited_s: float, most_s: float) -> None:
        report("cooldown", round(waited_s), round(most_s), words)

    return JobBoundaries(
        installed.target,
        installed.facts,
        patience_s=installed.patience_s,
        gate=CooldownGate(None if above_c == "off" else above_c, patience_s),
        tell=tell,
    )


def warmth(boundaries: JobBoundaries) -> float | None:
    """Degrees Celsius of the device's skin, or else of its battery, when it was last asked."""
    status = boundaries.last
    if status is None:
        return None
    skin = status.thermal.hottest("skin")
    return status.battery.celsius if skin is None else skin.celsius
