"""One power for all arms, with what that costs."""

from __future__ import annotations

import pytest

from device_bench.fitting.energy_model import fit_energy_model
from tests.toolkit.made_profiles import arm


def test_arms_of_one_power_are_predicted_exactly() -> None:
    model = fit_energy_model([arm(1, 2.0, joules=6.0), arm(8, 0.5, joules=1.5), arm(4, 1.0)])
    assert model is not None
    assert (model.watts.value, model.arms) == (3.0, 2)
    assert model.median_relative_error == pytest.approx(0.0)


def test_the_interval_and_the_error_say_how_far_powers_differ() -> None:
    powers = (2.0, 2.2, 2.4, 2.6, 2.8, 3.0)
    model = fit_energy_model([arm(1, 1.0, joules=watts) for watts in powers])
    assert model is not None
    assert (model.watts.low, model.watts.value, model.watts.high) == (2.0, 2.5, 3.0)
    assert model.median_relative_error == pytest.approx(0.2, abs=0.1)


def test_one_arm_has_no_error_and_none_no_model() -> None:
    model = fit_energy_model([arm(1, 2.0, joules=6.0)])
    assert model is not None and model.median_relative_error is None
    assert fit_energy_model([arm(1, 2.0)]) is None
