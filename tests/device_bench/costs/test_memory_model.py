"""Peak memory is predicted from what a setting holds, and never below a measured arm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench.costs.memory_model import MemoryModel, fit_memory_model
from device_bench.costs.setting import Setting
from device_bench.plans.sweep_plan import arms_of
from tests.device_bench.fake_timing_runner import SHAPE

MEASURED = [arm.setting for arm in arms_of([1, 4], [32, 128], [1, 8], ["central", "forward"])]


def held_of(setting: Setting):
    held = SHAPE.held(setting)
    assert held is not None
    return held


def known_peak(setting: Setting) -> float:
    held = held_of(setting)
    return 5e7 + 8000 * held.columns + 6 * held.pairs + 12 * held.parameters


def test_what_arms_hold_tells_what_others_will() -> None:
    model = fit_memory_model(SHAPE, MEASURED, [known_peak(each) for each in MEASURED])

    assert model.margin == pytest.approx(0, abs=1e-3)
    assert model.median_relative_error == pytest.approx(0, abs=1e-2)
    assert model.arms == len(MEASURED)
    for setting in (Setting(2, 64, "central", 4), Setting(3, 96, "forward", 2)):
        assert model.peak_bytes(held_of(setting)) == pytest.approx(known_peak(setting), rel=1e-2)


@given(st.integers(0, 2**32 - 1))
def test_no_measured_arm_is_predicted_too_low(seed: int) -> None:
    generator = np.random.default_rng(seed)
    peaks = [known_peak(each) * generator.uniform(0.8, 1.2) for each in MEASURED]

    model = fit_memory_model(SHAPE, MEASURED, peaks)

    for setting, peak in zip(MEASURED, peaks, strict=True):
        assert model.peak_bytes(held_of(setting)) >= peak * (1 - 1e-9)
    assert model.margin > 0


def test_one_arm_is_predicted_as_it_was_and_has_no_error() -> None:
    model = fit_memory_model(SHAPE, MEASURED[:1], [1e8])
    assert model.peak_bytes(held_of(MEASURED[0])) == pytest.approx(1e8, rel=1e-3)
    assert model.median_relative_error is None


def test_more_is_never_less_memory() -> None:
    model: MemoryModel = fit_memory_model(SHAPE, MEASURED, [known_peak(e) for e in MEASURED])
    peaks = [model.peak_bytes(held_of(Setting(2, 64, "central", k))) for k in range(1, 9)]
    assert peaks == sorted(peaks)
