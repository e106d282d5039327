"""How arms, amounts and times are written."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from device_bench.profile import ArmSummary, Interval
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
