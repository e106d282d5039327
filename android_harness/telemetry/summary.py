"""What happened to a device in an interval: enough to see whether it throttled."""

from __future__ import annotations

from statistics import median

import numpy as np
from pydantic import FiniteFloat, NonNegativeFloat

from android_harness.telemetry.trace import EMPTY, Trace
from exporters.contract import Part


class FrequencyRange(Part):
    """Of a cpufreq policy, or a core."""

    min_hertz: NonNegativeFloat
    median_hertz: NonNegativeFloat
    max_hertz: NonNegativeFloat


class TelemetrySummary(Part):
    """By sensor; sensors without a reading in the interval are not there, None is unknown."""

    frequencies: dict[str, FrequencyRange]
    max_celsius: dict[str, FiniteFloat]
    max_cooling_state: dict[str, FiniteFloat]
    max_thermal_status: int | None  # 0 (none) to 6 (shutdown)
    min_memory_available_bytes: int | None
    poller_cores: NonNegativeFloat | None  # CPU seconds of the poller per second


def summary(trace: Trace, start_ns: int, end_ns: int) -> TelemetrySummary:
    """Summarises the readings between two times of the device's clock, both included."""

    def values(quantity: str) -> dict[str, list[float]]:
        found = trace.between(quantity, start_ns, end_ns)
        return {sensor: readings.tolist() for sensor, readings in found.items()}

    statuses = values("thermal_status").get("device")
    memory = values("memory_available_bytes").get("device")
    return TelemetrySummary(
        frequencies={
            sensor: FrequencyRange(
                min_hertz=min(readings),
                median_hertz=median(readings),
                max_hertz=max(readings),
            )
            for sensor, readings in values("frequency_hertz").items()
        },
        max_celsius={
            sensor: max(readings) for sensor, readings in values("temperature_celsius").items()
        },
        max_cooling_state={
            sensor: max(readings) for sensor, readings in values("cooling_state").items()
        },
        max_thermal_status=int(max(statuses)) if statuses else None,
        min_memory_available_bytes=int(min(memory)) if memory else None,
        poller_cores=_poller_cores(trace, start_ns, end_ns),
    )


def _poller_cores(trace: Trace, start_ns: int, end_ns: int) -> float | None:
    spent = trace.of("poller_cpu_seconds").get("poller", EMPTY)
    within = (spent.times_ns >= start_ns) & (spent.times_ns <= end_ns)
    times_ns, seconds = spent.times_ns[within], spent.values[within]
    if len(times_ns) < 2:
        return None
    # A poller that took over from another began at 0.
    cpu_s = float(np.maximum(np.diff(seconds), 0).sum())
    return cpu_s * 1e9 / int(times_ns[-1] - times_ns[0])
