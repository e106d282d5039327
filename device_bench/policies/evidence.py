"""A job with all that was recorded around it: what the policies look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from android_harness.telemetry.trace import NO_TRACE, Trace
from device_bench.conditions.job_conditions import Boundary
from device_bench.samples.measurement import Measurement

# A governor takes a part of a second to raise the clock, and readings come 4 times a second.
_SHORTEST_FOR_FREQUENCIES_NS = 1_000_000_000
_COOLING_INTERVAL_NS = 1_000_000_000


@dataclass(frozen=True)
class JobEvidence:
    """One job of a sweep.

    Attributes:
        times_ns: when its steady repetitions began, on the device's clock.
        seconds: per probe, of the same.
        thermal_status: the worst in its time, 0 (none) to 6 (shutdown); None: not told.
        frequencies: median hertz by cpufreq policy; none of a job too short for it.
        cooling: the highest state by cooling device.
    """

    measurement: Measurement
    times_ns: NDArray[np.float64]
    seconds: NDArray[np.float64]
    thermal_status: int | None
    frequencies: Mapping[str, float]
    cooling: Mapping[str, float]

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        conditions = self.measurement.conditions
        return () if conditions is None else conditions.boundaries

    @property
    def cores(self) -> float:
        """CPU seconds per second of its steady repetitions."""
        steady = self.measurement.steady
        return sum(each.cpu_ns for each in steady) / sum(each.wall_ns for each in steady)

    @property
    def tells_throttling(self) -> bool:
        """Something beside its own times tells it: Android, or cores whose pace is measured."""
        return self.measurement.on_cpu or self.thermal_status is not None


def job_evidence(measurements: Sequence[Measurement], trace: Trace) -> list[JobEvidence]:
    """The evidence of each job with a steady repetition, by the telemetry of the same sweep.

    Telemetry of several boots is left out: its times cannot be told apart.
    """
    usable = trace if trace.one_boot else NO_TRACE
    return [_evidence(each, usable) for each in measurements if each.steady_seconds]


def _evidence(measurement: Measurement, trace: Trace) -> JobEvidence:
    start_ns, end_ns = measurement.steady_span_ns
    frequencies = {}
    if end_ns - start_ns >= _SHORTEST_FOR_FREQUENCIES_NS:
        frequencies = {
            policy: float(np.median(readings))
            for policy, readings in trace.between("frequency_hertz", start_ns, end_ns).items()
        }
    around_ns = start_ns - _COOLING_INTERVAL_NS, end_ns + _COOLING_INTERVAL_NS
    return JobEvidence(
        measurement=measurement,
        times_ns=np.array([sample.start_ns for sample in measurement.steady], np.float64),
        seconds=np.array(measurement.steady_seconds),
        thermal_status=_thermal_status(measurement, trace, start_ns, end_ns),
        frequencies=frequencies,
        cooling={
            device: float(np.max(readings))
            for device, readings in trace.between("cooling_state", *around_ns).items()
        },
    )


def _thermal_status(
    measurement: Measurement, trace: Trace, start_ns: int, end_ns: int
) -> int | None:
    """Of the readings nearest to the job too, since Android's service is asked every few seconds,
    and of the boundaries.
    """
    told: list[float] = []
    channel = "thermal_status.device"
    if channel in trace.series:
        sensor = trace.sensors.get(channel)
        margin_ns = round(1e9 * (sensor.interval_s if sensor is not None else 1.0))
        told += trace.series[channel].between(start_ns - margin_ns, end_ns + margin_ns).tolist()
    if measurement.conditions is not None:
        statuses = (each.thermal_status for each in measurement.conditions.boundaries)
        told += [status for status in statuses if status is not None]
    return int(max(told)) if told else None
