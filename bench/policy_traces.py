"""Made-up sweeps with known faults: samples, conditions and telemetry as a device leaves them.

A sweep is 4 arms in 6 blocks of jobs with 3 repetitions of a second or so. A repetition takes its
arm's seconds, times what a fault makes of them at that time, times log-normal noise of the
repetition and half as much of the job. Sensors have their rates, their lags and their own noise,
and lose every fifth reading. A sweep without sensors is one of a GPU, on a device that tells no
thermal status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from android_harness.telemetry.records import Sensor
from android_harness.telemetry.trace import Series, Trace
from device_bench.conditions.job_conditions import Boundary, JobConditions
from device_bench.plans.sweep_plan import Arm, Slot
from device_bench.samples.measurement import Measurement, Sample

ARMS = tuple(
    Arm(
        batch=batch,
        tokens=64,
        directions_per_pass=1,
        estimator="tangent",
        threads=4,
        cpu_mask="0xf0",
    )
    for batch in (1, 2, 4, 8)
)
BLOCKS = 6
REPETITIONS = 3
SECONDS_PER_EXAMPLE = 0.06
LOAD_S, WARMUP_S, PAUSE_S = 0.8, 1.0, 0.5
PACE_NS = 8_000_000
BIG_HERTZ, LITTLE_HERTZ = 2.4e9, 1.7e9
_READINGS_LOST = 0.2

OfTime = Callable[[float], float]


def _never(_: float) -> float:
    return 1.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong; factors of seconds by the time since the sweep's begin.

    Attributes:
        noise: relative standard deviation of a repetition.
        slower: the cores are, which sensors see.
        within: how much slower the last repetition of each job is than its first, which is cool.
        taken: as much time as other programs take, on top of the job's own.
        spikes: how many single repetitions are 3 to 10 times as long.
        sensors: the cores compute, whose pace is measured, and the device tells its status.
    """

    noise: float
    slower: OfTime = _never
    within: float = 0.0
    taken: OfTime = _never
    spikes: int = 0
    sensors: bool = True


@dataclass
class MadeSweep:
    """What a device left of a sweep, and what really happened to each of its jobs."""

    measurements: list[Measurement] = field(default_factory=list)
    trace: Trace = field(default_factory=lambda: Trace(series={}, sensors={}))
    slowed: dict[int, float] = field(default_factory=dict)  # by position: how much slower cores
    shared: dict[int, float] = field(default_factory=dict)  # and how much others took


def make_sweep(fault: Fault, generator: np.random.Generator) -> MadeSweep:
    """A sweep with this fault; the same generator gives the same sweep."""
    made = MadeSweep()
    order = [
        (block, int(arm)) for block in range(BLOCKS) for arm in generator.permutation(len(ARMS))
    ]
    spiked = set(generator.choice(len(order) * REPETITIONS, fault.spikes, replace=False).tolist())
    now_s, status_lag_s = 0.0, float(generator.uniform(0, 20))
    for position, (block, number) in enumerate(order):
        arm = ARMS[number]
        own_s = SECONDS_PER_EXAMPLE * arm.batch
        now_s += LOAD_S + WARMUP_S
        pace_before = _pace_ns(fault, now_s, generator)
        of_job = generator.lognormal(0, fault.noise / 2)
        samples, slowed, shared = [], [], []
        for repetition in range(REPETITIONS):
            directions = max(round(1 / own_s), 1)
            heated = 1 + fault.within * repetition / (REPETITIONS - 1)
            slower, taken = heated * fault.slower(now_s), fault.taken(now_s)
            noisy = of_job * generator.lognormal(0, fault.noise)
            noisy *= generator.uniform(3, 10) if len(spiked & {position * 3 + repetition}) else 1
            wall_s = own_s * directions * slower * taken * noisy
            # Noise is memory and caches here: what computes keeps its cores.
            cpu_s = arm.threads * wall_s / taken * float(generator.normal(0.99, 0.003))
            samples.append(_sample(repetition, directions, now_s, wall_s, cpu_s))
            slowed.append(slower)
            shared.append(taken)
            now_s += wall_s
        made.slowed[position], made.shared[position] = np.mean(slowed), np.mean(shared)
        made.measurements.append(
            _measurement(
                Slot(block=block, arm=number),
                position,
                samples,
                backend="ggml-cpu" if fault.sensors else "ggml-vulkan",
                paces_ns=(pace_before, _pace_ns(fault, now_s, generator)),
                conditions=_conditions(fault, now_s - status_lag_s),
            )
        )
        now_s += PAUSE_S
    if fault.sensors:
        made.trace = _trace(fault, now_s, status_lag_s, generator)
    return made


def sweep_seconds() -> float:
    """How long a sweep without faults takes."""
    jobs = BLOCKS * len(ARMS)
    return jobs * (LOAD_S + WARMUP_S + PAUSE_S + REPETITIONS)


def _pace_ns(fault: Fault, at_s: float, generator: np.random.Generator) -> int:
    slower = fault.slower(at_s) if fault.sensors else 1.0
    return round(PACE_NS * slower * (1 + abs(generator.normal(0, 0.02))))


def _conditions(fault: Fault, at_s: float) -> JobConditions:
    status = _status(fault, at_s) if fault.sensors else None
    boundary = Boundary(thermal_status=status, battery_percent=80.0)
    return JobConditions(before=boundary, after=boundary, gate="cool", waited_s=0)


def _status(fault: Fault, at_s: float) -> int:
    """Android's severity: it is told late, and not of the lightest throttling."""
    slower = fault.slower(at_s)
    return 0 if slower < 1.15 else 1 if slower < 1.3 else 2


def _sample(
    repetition: int, directions: int, start_s: float, wall_s: float, cpu_s: float
) -> Sample:
    return Sample(
        phase="steady",
        repetition=repetition,
        directions=directions,
        passes=directions,
        start_ns=round(start_s * 1e9),
        wall_ns=round(wall_s * 1e9),
        cpu_ns=round(cpu_s * 1e9),
    )


def _measurement(
    slot: Slot,
    position: int,
    samples: list[Sample],
    *,
    backend: str,
    paces_ns: tuple[int, int],
    conditions: JobConditions,
) -> Measurement:
    arm = ARMS[slot.arm]
    return Measurement(
        slot=slot,
        position=position,
        arm=arm,
        backend=backend,
        threads=arm.threads,
        cpu_mask=arm.cpu_mask,
        load_wall_ns=round(LOAD_S * 1e9),
        load_cpu_ns=round(LOAD_S * 1e9),
        weight_bytes=1,
        vm_hwm_bytes=1,
        rss_anon_bytes=0,
        rss_file_bytes=0,
        measured_at=datetime(2026, 1, 1, tzinfo=UTC),
        host_seconds=0,
        warmup_settled=True,
        pace_before_ns=paces_ns[0],
        pace_after_ns=paces_ns[1],
        samples=tuple(samples),
        conditions=conditions,
    )


def _trace(
    fault: Fault, end_s: float, status_lag_s: float, generator: np.random.Generator
) -> Trace:
    def series(interval_s: float, value: OfTime) -> Series:
        times_s = np.arange(0, end_s, interval_s)
        times_s = times_s[generator.random(len(times_s)) > _READINGS_LOST]
        return Series((times_s * 1e9).astype(np.int64), _values(times_s, value))

    def big(at_s: float) -> float:
        return BIG_HERTZ / fault.slower(at_s) * float(generator.choice([1, 1, 1, 1, 0.95]))

    def little(_: float) -> float:  # idles, up and down
        return LITTLE_HERTZ * float(generator.uniform(0.2, 1))

    channels = {
        "frequency_hertz.policy0": (0.25, little),
        "frequency_hertz.policy4": (0.25, big),
        "thermal_status.device": (5.0, lambda at_s: float(_status(fault, at_s - status_lag_s))),
    }
    return Trace(
        series={name: series(*told) for name, told in channels.items()},
        sensors={
            name: Sensor(channel=name, source="made up", interval_s=interval_s)
            for name, (interval_s, _) in channels.items()
        },
    )


def _values(times_s: NDArray[np.float64], value: OfTime) -> NDArray[np.float64]:
    return np.array([value(float(at_s)) for at_s in times_s], np.float64)
