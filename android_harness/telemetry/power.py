"""A battery's power over a recording, where the device's numbers allow it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from android_harness.telemetry.battery_scale import Scale, current_scale, voltage_scale
from android_harness.telemetry.trace import EMPTY, Series, Trace

# Between two readings that are further apart than so many of their intervals nothing is known.
_LONGEST_GAP_INTERVALS = 4
_CHARGING, _DISCHARGING, _NOT_CHARGING, _FULL = 2.0, 3.0, 4.0, 5.0
_ABSENT = Scale(None, "absent")
_WITH_A_CHARGER = (_CHARGING, _NOT_CHARGING, _FULL)

EXTERNALLY_POWERED = (
    "externally powered: what the battery gives, or takes, is not what the device uses; "
    "unplug it and use adb over Wi-Fi"
)


@dataclass(frozen=True)
class Power:
    """What came out of the battery.

    Attributes:
        watts: readings of current times voltage while nothing else fed the device.
        longest_gap_ns: readings further apart have nothing known between them.
        plugged_ns: times at which the device said it was externally powered, int64 [n].
        reasons: why `watts` is empty; empty when it is not.
        doubts: why it may be wrong all the same.
        current, voltage: how the device's numbers were understood.
        battery: whose current it is, by the name of its supply; None: there is none.
    """

    watts: Series
    longest_gap_ns: int
    plugged_ns: NDArray[np.int64]
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]
    current: Scale
    voltage: Scale
    battery: str | None


def battery_power(trace: Trace) -> Power:
    """The power of the recording's battery; of several, of the one that is called so."""
    currents, voltages = trace.of("current_raw"), trace.of("voltage_raw")
    battery = _choose(currents)
    current = currents.get(battery, EMPTY) if battery else EMPTY
    voltage_of = battery if battery in voltages else _choose(voltages)
    voltage = voltages.get(voltage_of, EMPTY) if voltage_of else EMPTY
    fed = _external_power(trace, battery)
    on_battery = _held(fed, current.times_ns) == 0.0
    scales = (
        current_scale(current.values[on_battery]) if battery else _ABSENT,
        voltage_scale(voltage.values) if voltage_of else _ABSENT,
    )
    reasons = _reasons(trace, current, voltage, fed, on_battery, scales)
    current_gap_ns = _longest_gap_ns(trace, f"current_raw.{battery}")
    watts = EMPTY
    if not reasons:
        watts = _watts(
            Series(current.times_ns[on_battery], current.values[on_battery]),
            voltage,
            scales,
            voltage_gap_ns=_longest_gap_ns(trace, f"voltage_raw.{voltage_of}"),
        )
    return Power(
        watts=watts,
        longest_gap_ns=current_gap_ns,
        plugged_ns=fed.times_ns[fed.values == 1.0],
        reasons=reasons,
        doubts=tuple(scale.doubtful for scale in scales if scale.doubtful),
        current=scales[0],
        voltage=scales[1],
        battery=battery,
    )


def _choose(supplies: dict[str, Series]) -> str | None:
    return "battery" if "battery" in supplies else min(supplies, default=None)


def _external_power(trace: Trace, battery: str | None) -> Series:
    """1 where the device was externally powered, 0 where not; empty when it does not tell.

    Charging tells it whatever `plugged` says, because `dumpsys battery unplug` fakes that. The
    other states count where nothing is said of plugs.
    """
    plugs, states = trace.of("plugged"), trace.of("battery_status")
    state = states.get(battery or "", next(iter(states.values()), EMPTY))
    told = [(each.times_ns, each.values) for each in plugs.values()]
    if told:
        charging = state.values == _CHARGING
        told.append((state.times_ns[charging], np.ones(int(charging.sum()))))
    else:
        known = np.isin(state.values, (*_WITH_A_CHARGER, _DISCHARGING))
        told.append((state.times_ns[known], (state.values[known] != _DISCHARGING) * 1.0))
    times_ns = np.concatenate([times for times, _ in told])
    values = np.concatenate([values for _, values in told])
    # Of what was told at one moment, one plug is enough.
    moments, which = np.unique(times_ns, return_inverse=True)
    fed = np.zeros(len(moments))
    np.maximum.at(fed, which, values)
    return Series(moments, fed)


def _held(series: Series, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The larger of the values around each time; NaN without any."""
    if not len(series.times_ns):
        return np.full(len(times_ns), np.nan)
    last = len(series.times_ns) - 1
    after = np.searchsorted(series.times_ns, times_ns, side="left")
    return np.maximum(
        series.values[np.clip(after - 1, 0, last)], series.values[np.clip(after, 0, last)]
    )


def _reasons(
    trace: Trace,
    current: Series,
    voltage: Series,
    fed: Series,
    on_battery: NDArray[np.bool_],
    scales: tuple[Scale, Scale],
) -> tuple[str, ...]:
    if not trace.one_boot:
        return ("the device rebooted during the recording, so that its times are ambiguous",)
    absent = [
        f"the device does not tell its battery's {what}"
        for what, series in (("current", current), ("voltage", voltage))
        if not len(series.times_ns)
    ]
    if absent:
        return (*absent, *trace.missing)
    if not len(fed.times_ns):
        return ("the device does not tell whether it is externally powered",)
    if not on_battery.any():
        return (EXTERNALLY_POWERED,)
    return tuple(
        f"the {what}'s scale is {scale.said}"
        for what, scale in zip(("current", "voltage"), scales, strict=True)
        if scale.factor is None
    )


def _watts(
    current: Series, voltage: Series, scales: tuple[Scale, Scale], *, voltage_gap_ns: int
) -> Series:
    """Power at the times of the current; voltage changes slowly, and is drawn between readings."""
    amperes_per_unit, volts_per_unit = scales[0].factor, scales[1].factor
    assert amperes_per_unit is not None and volts_per_unit is not None
    last = len(voltage.times_ns) - 1
    after = np.searchsorted(voltage.times_ns, current.times_ns, side="left")
    before, after = np.clip(after - 1, 0, last), np.clip(after, 0, last)
    distance = np.minimum(
        np.abs(current.times_ns - voltage.times_ns[before]),
        np.abs(voltage.times_ns[after] - current.times_ns),
    )
    near = distance <= voltage_gap_ns
    volts = np.interp(current.times_ns[near], voltage.times_ns, voltage.values * volts_per_unit)
    return Series(current.times_ns[near], current.values[near] * amperes_per_unit * volts)


def _longest_gap_ns(trace: Trace, channel: str) -> int:
    sensor = trace.sensors.get(channel)
    return round((sensor.interval_s if sensor else 1.0) * _LONGEST_GAP_INTERVALS * 1e9)
