"""What a battery's numbers mean: their unit, and which sign of the current is discharging.

Linux and Android document µA and µV, and negative currents for discharging. Devices differ:

* mA: Samsung's (a Galaxy S21: home-assistant/android#2846, an A52s: dubrowgn/wattz#5) and
  Huawei's (a P Smart 2019: google/perfetto#1441);
* positive while discharging, or never negative: Linux documents one sign only since 5.10 (commit
  05f94eb98907), because drivers had three conventions;
* Integer.MIN_VALUE for "not supported" (an Ulefone: home-assistant/android#4977), which
  `device_lines.py` takes for no reading;
* whole volts (a OnePlus Nord 3: home-assistant/android#4286);
* twice the voltage of cells that are parallel (a Redmi: crdroidandroid/issue_tracker#641).

Where the numbers fit no rule, or two, the unit is unknown: a guess would be off by a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# An awake phone takes more from its battery than 20 mA, and no phone's battery gives more than
# 10 A. Between the two ranges that this makes of raw numbers lies a gap.
_LEAST_AMPERES, _MOST_AMPERES = 0.02, 10.0
# One lithium cell; the double of it is two in series, or a doubled figure.
_LEAST_VOLTS, _MOST_VOLTS = 2.5, 5.0
# Of all currents other than 0 while discharging, so many must have one sign.
_SHARE_OF_ONE_SIGN = 0.95


@dataclass(frozen=True)
class Scale:
    """How raw numbers become amperes out of the battery, or volts.

    Attributes:
        factor: of the raw number; negative where negative currents discharge. None: unknown.
        said: the unit and sign in words, with the reason.
        doubtful: why a known scale may still be wrong.
    """

    factor: float | None
    said: str
    doubtful: str | None = None


def current_scale(discharging: NDArray[np.float64]) -> Scale:
    """The scale of a battery's current, from raw values while it discharged."""
    if not len(discharging):
        return Scale(None, "unknown: no reading while the battery discharged")
    moving = discharging[discharging != 0]
    if 2 * len(moving) < len(discharging):
        return Scale(None, "unknown: most readings are 0")
    typical = float(np.median(np.abs(moving)))
    unit, factor = _current_unit(typical)
    if factor is None:
        return Scale(None, f"unknown: {typical:g} is neither µA nor mA of a phone")
    negative = float(np.mean(moving < 0))
    if negative >= _SHARE_OF_ONE_SIGN:
        return Scale(-factor, f"{unit}, negative while discharging: {-typical:g} is the median")
    if negative <= 1 - _SHARE_OF_ONE_SIGN:
        return Scale(factor, f"{unit}, positive while discharging: {typical:g} is the median")
    return Scale(None, f"unknown: {negative:.0%} of the readings while discharging are negative")


def voltage_scale(raw: NDArray[np.float64]) -> Scale:
    """The scale of a battery's voltage, from at least one raw value."""
    typical = float(np.median(raw))
    for unit, factor in (("µV", 1e-6), ("mV", 1e-3)):
        volts = typical * factor
        if _LEAST_VOLTS <= volts < _MOST_VOLTS:
            return Scale(factor, f"{unit}: {typical:g} is the median, a cell's {volts:.2f} V")
        if _MOST_VOLTS <= volts < 2 * _MOST_VOLTS:
            return Scale(
                factor,
                f"{unit}: {typical:g} is the median, the {volts:.2f} V of two cells",
                doubtful="the voltage is that of two cells in series, or a doubled figure",
            )
    return Scale(None, f"unknown: {typical:g} is neither µV nor mV of one or two cells")


def _current_unit(typical: float) -> tuple[str, float | None]:
    for unit, factor in (("µA", 1e-6), ("mA", 1e-3)):
        if _LEAST_AMPERES <= typical * factor <= _MOST_AMPERES:
            return unit, factor
    return "", None
