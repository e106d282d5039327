"""Medians, their intervals, and outliers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bench.statistics import MINIMUM_FOR_BOOTSTRAP, MINIMUM_FOR_INTERVAL, summarise

timings = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(timings)
def test_the_interval_holds_the_median_and_lies_in_the_range(values: list[float]) -> None:
    summary = summarise(values)

    assert min(values) <= summary.low <= summary.median <= summary.high <= max(values)
    assert summary.n == len(values)


@settings(max_examples=50, deadline=None)
@given(timings, st.integers(-20, 20))
def test_scaling_the_values_scales_the_summary(values: list[float], exponent: int) -> None:
    factor = 2.0**exponent  # exact in floating point
    plain, scaled = summarise(values), summarise([value * factor for value in values])

    assert scaled.median == plain.median * factor
    assert (scaled.low, scaled.high) == (plain.low * factor, plain.high * factor)
    assert scaled.relative_spread == plain.relative_spread
    assert scaled.outliers == plain.outliers


@settings(max_examples=50, deadline=None)
@given(timings, st.randoms())
def test_the_order_of_few_values_does_not_matter(values: list[float], random: object) -> None:
    values = values[: MINIMUM_FOR_BOOTSTRAP - 1]
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    before, after = summarise(values), summarise(shuffled)

    assert (before.median, before.low, before.high) == (after.median, after.low, after.high)


@pytest.mark.parametrize("size", [MINIMUM_FOR_INTERVAL, 9, 15, MINIMUM_FOR_BOOTSTRAP, 31])
def test_the_interval_covers_the_true_median_as_often_as_it_says(size: int) -> None:
    generator = np.random.default_rng(0)
    trials = 200
    true_median = 1.0

    covered = 0
    for _ in range(trials):
        summary = summarise(np.exp(generator.standard_normal(size)).tolist())
        covered += summary.low <= true_median <= summary.high

    # 95 % of 200 trials, less three standard errors.
    assert covered / trials > 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


def test_more_values_give_a_narrower_interval() -> None:
    values = np.random.default_rng(1).normal(1.0, 0.1, size=400).tolist()
    widths = [(s := summarise(values[:n])).high - s.low for n in (9, 50, 400)]

    assert widths[0] > widths[1] > widths[2]


def test_an_outlier_is_shown_and_not_dropped() -> None:
    values = [1.00, 1.01, 0.99, 1.02, 9.0, 0.98, 1.01]

    summary = summarise(values)

    assert summary.outliers == (4,)
    assert summary.n == 7
    assert summary.high == 9.0


def test_when_most_values_are_equal_the_others_are_outliers() -> None:
    assert summarise([2.0, 2.0, 2.0, 2.1]).outliers == (3,)
    assert summarise([2.0, 2.0, 2.0]).outliers == ()


def test_the_spread_estimates_the_relative_deviation_of_normal_values() -> None:
    values = np.random.default_rng(2).normal(5.0, 0.5, size=5000).tolist()

    assert summarise(values).relative_spread == pytest.approx(0.1, rel=0.1)
