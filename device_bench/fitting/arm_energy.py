"""Joules per probe: the samples of a SAMPLES folder joined with the telemetry beside them.

Both are on the device's clock. Of each job the energy from its first steady sample to the end of
its last is divided by the probes in between; what the device takes when it is left alone, from the
telemetry's last idle window, is subtracted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from android_harness.telemetry.energy import EnergyReading, energy_of, idle_energy
from android_harness.telemetry.power import Power, battery_power
from android_harness.telemetry.trace import Trace
from device_bench.plans.sweep_plan import Arm
from device_bench.profiles.profile import Interval
from device_bench.samples.measurement import Measurement
from exporters.contract import Part

# Gauges renew their reading every 0.2 to 1 s, and some average over more: of a shorter job they
# tell what was before it as much as the job itself.
SHORTEST_JOB_S = 5.0
_TOO_SHORT = f"a job is shorter than the {SHORTEST_JOB_S:g} s that a gauge needs"


class ArmEnergy(Part):
    """What a probe of an arm takes from the battery, above what an idle device takes.

    `joules_per_probe` is the median over the arm's jobs; None: not measurable, for the reasons
    given. A job that is not measured beyond doubt does not count.
    """

    joules_per_probe: Interval | None
    jobs: int  # that count
    reasons: tuple[str, ...]  # why others do not


def arm_energies(trace: Trace | None, measurements: Sequence[Measurement]) -> dict[Arm, ArmEnergy]:
    """The energy of each arm of these measurements, by the telemetry beside them, if any."""
    by_arm: dict[Arm, list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        by_arm[measurement.arm].append(measurement)
    if trace is None:
        nothing = ArmEnergy(joules_per_probe=None, jobs=0, reasons=("no telemetry was recorded",))
        return dict.fromkeys(by_arm, nothing)
    power, idle = battery_power(trace), idle_energy(trace)
    return {arm: _arm_energy(power, idle, jobs) for arm, jobs in by_arm.items()}


def _arm_energy(power: Power, idle: EnergyReading | None, jobs: Sequence[Measurement]) -> ArmEnergy:
    if idle is None:
        return ArmEnergy(joules_per_probe=None, jobs=0, reasons=("no idle baseline was measured",))
    if idle.verdict != "valid":
        reasons = tuple(f"the idle baseline: {reason}" for reason in idle.reasons)
        return ArmEnergy(joules_per_probe=None, jobs=0, reasons=reasons)
    joules, reasons_seen = [], dict[str, None]()
    for job in jobs:
        start_ns, end_ns = job.steady_span_ns
        if end_ns - start_ns < SHORTEST_JOB_S * 1e9:
            reasons_seen[_TOO_SHORT] = None
            continue
        energy = energy_of(power, start_ns, end_ns, idle.mean_watts)
        if energy.verdict != "valid" or energy.net_joules is None:
            reasons_seen.update(dict.fromkeys(energy.reasons))
            continue
        probes = sum(sample.directions for sample in job.steady)
        joules.append(energy.net_joules / (probes * energy.coverage))  # of the time that is known
    return ArmEnergy(
        joules_per_probe=Interval.of_median(joules) if joules else None,
        jobs=len(joules),
        reasons=tuple(reasons_seen),
    )
