"""Joules between two moments on a device, as far as its battery's gauge tells them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import FiniteFloat, NonNegativeFloat

from android_harness.telemetry.power import EXTERNALLY_POWERED, Power, battery_power
from android_harness.telemetry.trace import Trace
from exporters.contract import Part

# Below this share of the interval the joules are those of a part that may not be like the rest.
_LEAST_COVERAGE = 0.9
# What is plugged in is looked at once a second, or as often as a service is asked.
_PLUG_MARGIN_NS = 2_000_000_000

Verdict = Literal["valid", "suspect", "invalid"]


class EnergyReading(Part):
    """Energy that the battery gave over an interval.

    `joules` is the integral over that part of the interval of which the power is known, and
    `coverage` is that part's share: nothing is made up for the rest. `idle_joules` is what an
    idle device takes in that part. None: unknown, for the reasons given.
    """

    seconds: NonNegativeFloat
    coverage: NonNegativeFloat
    joules: FiniteFloat | None
    idle_joules: FiniteFloat | None
    net_joules: FiniteFloat | None
    verdict: Verdict
    reasons: tuple[str, ...]

    @property
    def mean_watts(self) -> float | None:
        """The mean power over what is known."""
        known_s = self.seconds * self.coverage
        return self.joules / known_s if self.joules is not None and known_s > 0 else None


def energy_between(
    trace: Trace, start_ns: int, end_ns: int, idle_watts: float | None = None
) -> EnergyReading:
    """Integrates voltage times current between two times of the device's clock by trapezoids.

    Args:
        start_ns, end_ns: since boot, as `SampleRecord.start_ns`.
        idle_watts: what the device takes when it is left alone; None: nothing is subtracted.

    Raises:
        ValueError: the interval ends before it starts.
    """
    return energy_of(battery_power(trace), start_ns, end_ns, idle_watts)


def energy_of(
    power: Power, start_ns: int, end_ns: int, idle_watts: float | None = None
) -> EnergyReading:
    """`energy_between` for many intervals of one recording.

    Raises:
        ValueError: the interval ends before it starts.
    """
    if end_ns < start_ns:
        raise ValueError("the interval ends before it starts")
    seconds = (end_ns - start_ns) / 1e9
    if power.reasons:
        return _unknown(seconds, power.reasons)
    plugged = power.plugged_ns
    if np.any((plugged >= start_ns - _PLUG_MARGIN_NS) & (plugged <= end_ns + _PLUG_MARGIN_NS)):
        return _unknown(seconds, (EXTERNALLY_POWERED,))
    joules, known_s = _integral(power, start_ns, end_ns)
    if known_s == 0:
        return _unknown(seconds, ("no readings of the power in the interval",))
    coverage = known_s / seconds
    idle_joules = None if idle_watts is None else idle_watts * known_s
    net_joules = None if idle_joules is None else joules - idle_joules
    doubts = list(power.doubts)
    if coverage < _LEAST_COVERAGE:
        doubts.append(f"the power is known over {coverage:.0%} of the interval")
    if net_joules is not None and net_joules <= 0:
        doubts.append("no more power than idle")
    return EnergyReading(
        seconds=seconds,
        coverage=coverage,
        joules=joules,
        idle_joules=idle_joules,
        net_joules=net_joules,
        verdict="suspect" if doubts else "valid",
        reasons=tuple(doubts),
    )


def idle_energy(trace: Trace) -> EnergyReading | None:
    """Over the last window in which the device was left alone; None: there was none.

    Its `mean_watts` is the `idle_watts` of the other functions.
    """
    return energy_between(trace, *trace.idle_ns[-1]) if trace.idle_ns else None


def _integral(power: Power, start_ns: int, end_ns: int) -> tuple[float, float]:
    """Joules and the seconds that they are of."""
    times_ns, watts = power.watts.times_ns, power.watts.values
    first, last = times_ns[:-1], times_ns[1:]
    low, high = np.maximum(first, start_ns), np.minimum(last, end_ns)
    counts = (last - first <= power.longest_gap_ns) & (high > low)
    low, high = low[counts], high[counts]
    seconds = (high - low) / 1e9
    middle = np.interp((low + high) / 2, times_ns, watts)  # of a straight line: its mean
    return float(np.sum(middle * seconds)), float(np.sum(seconds))


def _unknown(seconds: float, reasons: tuple[str, ...]) -> EnergyReading:
    return EnergyReading(
        seconds=seconds,
        coverage=0.0,
        joules=None,
        idle_joules=None,
        net_joules=None,
        verdict="invalid",
        reasons=reasons,
    )
