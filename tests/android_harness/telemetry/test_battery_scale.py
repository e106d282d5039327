"""What raw numbers of batteries mean, from devices that differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.telemetry.battery_scale import current_scale, voltage_scale

# name: raw values while discharging, what a unit is in amperes out of the battery
KNOWN_CURRENTS = {
    "µA, negative, as documented (Pixel 8)": ([-229375, -310000, -187500], -1e-6),
    "µA, positive": ([412000, 380000, 1200000], 1e-6),
    "mA, negative (Samsung)": ([-312, -298, -1450], -1e-3),
    "mA, positive (Huawei)": ([200, 211, 950], 1e-3),
    "µA with a glitch of another sign": ([-229375] * 30 + [15], -1e-6),
    "µA, some readings not ready": ([0, -229375, -229375], -1e-6),
    "a phone that hardly does anything": ([-45000, -38000], -1e-6),
    "a phone at its limit, in mA": ([-9000, -9500], -1e-3),
}
UNKNOWN_CURRENTS = {
    "no reading": ([], "no reading while"),
    "always 0": ([0, 0, 0], "most readings are 0"),
    "mostly 0": ([0, 0, -229375], "most readings are 0"),
    "below 20 mA in either unit": ([-5, -7], "neither"),
    "15 A, or 15 mA": ([-15000, -15200], "neither"),
    "nA, or far too much": ([-229375000], "neither"),
    "both signs while discharging": ([-200000, 200000, 210000], "33%"),
}
KNOWN_VOLTAGES = {
    "µV": ([3975000, 3980000], 1e-6, False),
    "mV": ([3975], 1e-3, False),
    "a full cell of high voltage, in µV": ([4480000], 1e-6, False),
    "an empty cell, in mV": ([2900], 1e-3, False),
    "two cells, in µV": ([8610000], 1e-6, True),
    "two cells, in mV": ([7700], 1e-3, True),
}
UNKNOWN_VOLTAGES = {"whole volts (OnePlus)": [4], "0": [0], "a laptop's": [12600000], "nV": [4e9]}


@pytest.mark.parametrize("name", KNOWN_CURRENTS)
def test_currents_with_a_known_scale(name: str) -> None:
    raw, factor = KNOWN_CURRENTS[name]
    assert current_scale(np.asarray(raw, float)).factor == factor


@pytest.mark.parametrize("name", UNKNOWN_CURRENTS)
def test_currents_that_could_mean_anything_are_unknown_with_a_reason(name: str) -> None:
    raw, reason = UNKNOWN_CURRENTS[name]
    scale = current_scale(np.asarray(raw, float))
    assert scale.factor is None and scale.said.startswith("unknown") and reason in scale.said


@pytest.mark.parametrize("name", KNOWN_VOLTAGES)
def test_voltages_with_a_known_scale(name: str) -> None:
    raw, factor, doubtful = KNOWN_VOLTAGES[name]
    scale = voltage_scale(np.asarray(raw, float))
    assert (scale.factor, scale.doubtful is not None) == (factor, doubtful)


@pytest.mark.parametrize("name", UNKNOWN_VOLTAGES)
def test_voltages_that_no_phone_has_are_unknown(name: str) -> None:
    scale = voltage_scale(np.asarray(UNKNOWN_VOLTAGES[name], float))
    assert scale.factor is None and scale.said.startswith("unknown")


@given(
    st.floats(0.021, 9.99),
    st.sampled_from([1e-6, 1e-3]),
    st.sampled_from([-1, 1]),
    st.integers(1, 9),
)
def test_any_plausible_current_is_read_back(
    amperes: float, unit: float, sign: int, readings: int
) -> None:
    raw = np.full(readings, sign * amperes / unit)
    factor = current_scale(raw).factor
    assert factor is not None
    assert raw[0] * factor == pytest.approx(amperes)


@given(st.lists(st.floats(-1e12, 1e12), max_size=20))
def test_a_known_scale_makes_a_plausible_current(raw: list[float]) -> None:
    values = np.asarray(raw)
    factor = current_scale(values).factor
    if factor is not None:
        assert 0.02 <= np.median(np.abs(values[values != 0])) * abs(factor) <= 10
