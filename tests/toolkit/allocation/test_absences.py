"""Spare probes for devices that may be away: what comes back, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.allocation.absences import divide_surely
from toolkit.allocation.makespan import divide
from toolkit.allocation.options import Options


def fleet(devices: int, cap: int = 10**6) -> Options:
    generator = np.random.default_rng(3)
    return Options.one_each(
        generator.lognormal(0, 0.7, devices),
        generator.exponential(1, devices),
        np.full(devices, cap),
    )


@given(st.integers(1, 30), st.integers(1, 500), st.floats(0.01, 0.99))
@settings(max_examples=50, deadline=None)
def test_devices_that_surely_answer_need_no_spare_probes(devices, probes, quantile):
    made = divide_surely(fleet(devices), probes, np.ones(devices), quantile)
    assert made.sure and made.expected == probes
    assert np.array_equal(made.division.counts, divide(fleet(devices), probes).counts)


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_enough_comes_back_with_the_probability_asked_for(quantile):
    generator = np.random.default_rng(0)
    chance = generator.uniform(0.5, 1.0, 100)
    made = divide_surely(fleet(100), 5000, chance, quantile)
    counts = made.division.counts
    back = (generator.random((20_000, 100)) < chance) @ counts
    assert made.sure
    assert np.mean(back >= 5000) == pytest.approx(quantile, abs=0.03)


def test_caps_may_leave_no_room_for_spare_probes():
    chance = np.full(10, 0.5)
    made = divide_surely(fleet(10, cap=100), 490, chance, 0.99)
    assert not made.sure
    assert made.division.counts.sum() * 0.5 >= 490
    with pytest.raises(ValueError, match="room"):
        divide_surely(fleet(10, cap=100), 510, chance, 0.5)
