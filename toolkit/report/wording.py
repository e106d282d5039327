"""How arms, amounts and times are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from device_bench.plans.sweep_plan import Arm
from device_bench.profiles.profile import ArmSummary, Interval
from exporters.lora.request import layers_text

UNKNOWN = "unknown"


class ArmLike(Protocol):
    """An arm of a sweep, or its summary."""

    @property
    def batch(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def directions_per_pass(self) -> int: ...
    @property
    def estimator(self) -> str: ...
    @property
    def layers(self) -> tuple[int, int] | None: ...


def arm_name(arm: ArmLike) -> str:
    """An arm in a few characters: batch B, tokens T, directions at once K."""
    name = f"{arm.estimator} B{arm.batch} T{arm.tokens} K{arm.directions_per_pass}"
    return name if arm.layers is None else f"{name} L{layers_text(arm.layers)}"


def arm_namer(arms: Sequence[Arm]) -> Callable[[Arm], str]:
    """How arms are named among each other: with threads and cores where these differ."""
    if len({arm.placement for arm in arms}) == 1:
        return arm_name
    return lambda arm: f"{arm_name(arm)}, {placement_name(arm.threads, arm.cpu_mask)}"


def placement_name(threads: int, cpu_mask: str | None) -> str:
    """`4 threads on cores 0xf0`."""
    cores = "any core" if cpu_mask is None else f"cores {cpu_mask}"
    return f"{threads} thread{'' if threads == 1 else 's'} on {cores}"


def seconds_text(seconds: float) -> str:
    return f"{seconds:.3g}"


def interval_text(interval: Interval) -> str:
    return f"{interval.low:.3g} to {interval.high:.3g}"


def joules_text(arm: ArmSummary) -> str:
    return UNKNOWN if arm.joules_per_probe is None else f"{arm.joules_per_probe.value:.3g}"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f}"


def moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def jobs_text(arm: ArmSummary) -> str:
    """How many jobs an arm's interval is over."""
    return UNKNOWN if arm.jobs is None else str(arm.jobs)
