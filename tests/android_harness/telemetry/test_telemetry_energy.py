"""Joules of made-up recordings whose integrals are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.telemetry.energy import energy_between, idle_energy
from android_harness.telemetry.power import EXTERNALLY_POWERED, battery_power
from android_harness.telemetry.records import (
    Sensor,
    TelemetryBegin,
    TelemetryIdle,
    TelemetryReading,
    TelemetryRecord,
)
from android_harness.telemetry.summary import summary
from android_harness.telemetry.trace import Trace

S = 1_000_000_000
INTERVALS_S = {"current_raw.battery": 0.25, "voltage_raw.battery": 0.25, "plugged.usb": 1.0}
BOOT = "661cbfd0"


def recording(
    watts: Callable[[float], float],
    seconds: Iterable[float],
    *,
    plugged: Callable[[float], bool | None] = lambda s: False,
    status: Callable[[float], int | None] = lambda s: None,
    idle_s: tuple[float, float] | None = None,
) -> Trace:
    """A phone of 4 V whose current, in µA and negative while discharging, makes these watts."""
    sensors = tuple(
        Sensor(channel=channel, source="/sys", interval_s=interval_s)
        for channel, interval_s in INTERVALS_S.items()
    )
    begin = TelemetryBegin(
        target="local", boot_id=BOOT, started_at="2026-01-01T00:00:00Z", sensors=sensors
    )
    records: list[TelemetryRecord] = [begin]
    for second in seconds:
        told = {
            "current_raw.battery": -watts(second) / 4 * 1e6,
            "voltage_raw.battery": 4e6,
            "plugged.usb": plugged(second),
            "battery_status.battery": status(second),
        }
        values = {name: float(value) for name, value in told.items() if value is not None}
        records.append(TelemetryReading(uptime_ns=round(second * S), values=values))
    if idle_s is not None:
        records.append(TelemetryIdle(start_ns=round(idle_s[0] * S), end_ns=round(idle_s[1] * S)))
    return Trace.from_records(records)


def quarters(start: float, end: float) -> list[float]:
    return list(np.arange(start, end + 0.125, 0.25))


def test_constant_power() -> None:
    energy = energy_between(recording(lambda s: 2.0, quarters(0, 60)), 10 * S, 40 * S)

    assert energy.joules == pytest.approx(2.0 * 30)
    assert (energy.seconds, energy.coverage, energy.verdict) == (30.0, pytest.approx(1.0), "valid")
    assert energy.mean_watts == pytest.approx(2.0)
    assert (energy.idle_joules, energy.net_joules) == (None, None)


def test_a_ramp_between_readings_that_do_not_meet_the_ends() -> None:
    trace = recording(lambda s: 1 + s / 10, quarters(0, 60))

    energy = energy_between(trace, round(10.1 * S), round(20.3 * S))

    assert energy.joules == pytest.approx(10.2 + (20.3**2 - 10.1**2) / 20)


def test_idle_power_is_subtracted() -> None:
    trace = recording(lambda s: 0.5 if s < 30 else 3.5, quarters(0, 60), idle_s=(5, 25))
    idle = idle_energy(trace)
    assert idle is not None and idle.mean_watts == pytest.approx(0.5)

    energy = energy_between(trace, 40 * S, 50 * S, idle.mean_watts)

    assert energy.joules == pytest.approx(35)
    assert energy.idle_joules == pytest.approx(5)
    assert energy.net_joules == pytest.approx(30)


def test_a_gap_has_no_energy_and_lowers_the_coverage() -> None:
    trace = recording(lambda s: 2.0, quarters(0, 10) + quarters(20, 40))

    energy = energy_between(trace, 5 * S, 25 * S, 0.5)

    assert energy.joules == pytest.approx(2.0 * 10)
    assert energy.coverage == pytest.approx(0.5)
    assert energy.idle_joules == pytest.approx(0.5 * 10)
    assert energy.verdict == "suspect" and "50%" in energy.reasons[0]
    assert energy.mean_watts == pytest.approx(2.0)


def test_before_and_after_the_recording_nothing_is_known() -> None:
    trace = recording(lambda s: 2.0, quarters(10, 20))

    assert energy_between(trace, 0, 15 * S).joules == pytest.approx(2.0 * 5)
    outside = energy_between(trace, 30 * S, 40 * S)
    assert (outside.joules, outside.coverage, outside.verdict) == (None, 0.0, "invalid")


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_energy_is_never_invented(ticks: list[int], start: int, length: int) -> None:
    trace = recording(lambda s: 2.0, sorted(tick / 4 for tick in ticks))

    energy = energy_between(trace, start * S, (start + length) * S)

    assert 0 <= energy.coverage <= 1 + 1e-9
    if energy.joules is None:
        assert energy.coverage == 0 and energy.reasons
    else:
        assert energy.joules == pytest.approx(2.0 * energy.coverage * length)


def test_a_phone_on_its_charger_tells_no_energy() -> None:
    trace = recording(lambda s: 2.0, quarters(0, 60), plugged=lambda s: s > 30)

    assert energy_between(trace, 5 * S, 25 * S).verdict == "valid"
    charged = energy_between(trace, 35 * S, 50 * S)
    assert (charged.joules, charged.verdict) == (None, "invalid")
    assert charged.reasons == (EXTERNALLY_POWERED,)
    assert energy_between(trace, 25 * S, 32 * S).reasons == (EXTERNALLY_POWERED,)


def test_charging_is_believed_against_a_plug_that_says_nothing_is_in_it() -> None:
    faked = recording(lambda s: 2.0, quarters(0, 60), status=lambda s: 2)
    assert energy_between(faked, 5 * S, 25 * S).reasons == (EXTERNALLY_POWERED,)


@pytest.mark.parametrize(("status", "valid"), [(3, True), (2, False), (4, False), (5, False)])
def test_without_plugs_the_battery_s_state_decides(status: int, valid: bool) -> None:
    trace = recording(
        lambda s: 2.0, quarters(0, 60), plugged=lambda s: None, status=lambda s: status
    )
    assert (energy_between(trace, 5 * S, 25 * S).verdict == "valid") == valid


def test_what_the_device_does_not_tell_is_a_reason() -> None:
    neither = recording(lambda s: 2.0, quarters(0, 60), plugged=lambda s: None)
    assert "externally powered" in energy_between(neither, 5 * S, 25 * S).reasons[0]
    nothing = energy_between(Trace.from_records([]), 0, 1 * S)
    assert nothing.joules is None and "current" in nothing.reasons[0]
    tiny = energy_between(recording(lambda s: 5e-5, quarters(0, 60)), 5 * S, 25 * S)
    assert tiny.joules is None and "neither µA nor mA" in tiny.reasons[0]


def test_times_of_two_boots_are_not_mixed() -> None:
    begins: list[TelemetryRecord] = [
        TelemetryBegin(target="local", boot_id=boot, started_at="2026-01-01T00:00:00Z", sensors=())
        for boot in ("one", "two")
    ]
    values = {"current_raw.battery": -5e5, "voltage_raw.battery": 4e6, "plugged.usb": 0.0}
    readings = [TelemetryReading(uptime_ns=second * S, values=values) for second in range(9)]

    energy = energy_between(Trace.from_records([*begins, *readings]), 0, 5 * S)

    assert energy.joules is None and "rebooted" in energy.reasons[0]


def test_of_several_batteries_the_one_of_that_name_counts() -> None:
    readings: list[TelemetryRecord] = [
        TelemetryReading(
            uptime_ns=second * S,
            values={
                "current_raw.bms": 1.0,
                "current_raw.battery": -500_000.0,
                "voltage_raw.battery": 4e6,
                "plugged.usb": 0.0,
            },
        )
        for second in range(9)
    ]
    power = battery_power(Trace.from_records(readings))
    assert (power.battery, set(power.watts.values)) == ("battery", {2.0})


def test_an_interval_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError):
        energy_between(Trace.from_records([]), 5, 4)


def test_a_summary_tells_what_throttling_shows_in() -> None:
    def reading(second: int, **values: float) -> TelemetryReading:
        named = {name.replace("__", "."): value for name, value in values.items()}
        return TelemetryReading(uptime_ns=second * S, values=named)

    trace = Trace.from_records(
        [
            reading(0, frequency_hertz__policy0=9e9, thermal_status__device=6),
            reading(1, frequency_hertz__policy0=2e9, poller_cpu_seconds__poller=1.0),
            reading(2, frequency_hertz__policy0=1e9, temperature_celsius__BIG=60.0),
            reading(3, frequency_hertz__policy0=1.2e9, thermal_status__device=2),
            reading(4, temperature_celsius__BIG=71.5, memory_available_bytes__device=5e9),
            reading(5, poller_cpu_seconds__poller=1.2, memory_available_bytes__device=4e9),
            reading(6, poller_cpu_seconds__poller=0.0),  # another poller
        ]
    )

    told = summary(trace, 1 * S, 6 * S)

    frequency = told.frequencies["policy0"]
    assert (frequency.min_hertz, frequency.median_hertz, frequency.max_hertz) == (1e9, 1.2e9, 2e9)
    assert (told.max_celsius, told.max_cooling_state) == ({"BIG": 71.5}, {})
    assert (told.max_thermal_status, told.min_memory_available_bytes) == (2, 4_000_000_000)
    assert told.poller_cores == pytest.approx(0.2 / 5)
    empty = summary(trace, 7 * S, 8 * S)
    assert (empty.frequencies, empty.max_thermal_status, empty.poller_cores) == ({}, None, None)
