"""Sen's slope over strata."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from device_bench.policies.trend import pooled_rise

X = np.linspace(0, 1, 30)


def noise(seed: int, size: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, size)


def test_one_stratum_has_scipys_slope_and_interval() -> None:
    y = 1 + 0.3 * X + noise(1)

    rise = pooled_rise([(X, y)])

    slope, _, low, high = stats.theilslopes(y, X, 0.999)
    assert rise is not None and rise.value == pytest.approx(slope)
    assert (rise.low, rise.high) == pytest.approx((low, high), rel=0.05)


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=5), st.floats(-1, 1))
def test_the_levels_of_strata_do_not_matter(levels: list[float], slope: float) -> None:
    strata = [(X, level + slope * X + noise(n)) for n, level in enumerate(levels)]
    level_ones = [(X, slope * X + noise(n)) for n in range(len(levels))]

    rise, expected = pooled_rise(strata), pooled_rise(level_ones)

    assert rise is not None and expected is not None
    assert rise.value == pytest.approx(expected.value, abs=1e-9)
    assert rise.low <= rise.value <= rise.high


def test_an_outlier_does_not_move_it() -> None:
    y = 1 + 0.3 * X
    y[-1] = 100

    rise = pooled_rise([(X, y)])

    assert rise is not None and rise.value == pytest.approx(0.3)


def test_a_few_points_have_no_interval() -> None:
    assert pooled_rise([]) is None
    assert pooled_rise([(X[:1], X[:1])]) is None
    assert pooled_rise([(X[:3], X[:3])] * 2) is None
    assert pooled_rise([(np.zeros(30), noise(1))]) is None


def test_many_short_strata_together_have_one() -> None:
    rise = pooled_rise([(X[:3], n + X[:3]) for n in range(20)])

    assert rise is not None and rise.low == pytest.approx(1)
