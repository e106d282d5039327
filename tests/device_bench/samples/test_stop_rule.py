"""When an arm has been measured often enough, and how far its interval can be trusted then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench.samples.stop_rule import StopRule, relative_half_width
from device_bench.statistics import median_interval

RULE = StopRule(blocks=3, most_blocks=6, precision=0.05)
MEDIANS = st.lists(st.floats(0.1, 10), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("medians", "done", "missed"),
    [
        ([], False, False),
        ([1.0, 1.0], False, False),  # equal, but too few
        ([1.0, 1.0, 1.0], True, False),
        ([1.0, 1.04, 0.96], True, False),
        ([1.0, 1.2, 0.96], False, False),
        ([1.0, 1.2, 0.96, 1.1, 1.3], False, False),
        ([1.0, 1.2, 0.96, 1.1, 1.3, 1.0], True, True),
    ],
)
def test_known_jobs(medians: list[float], done: bool, missed: bool) -> None:
    assert (RULE.done(medians), RULE.missed(medians)) == (done, missed)


@given(MEDIANS, st.integers(1, 6), st.integers(0, 6), st.floats(0.001, 1) | st.none())
def test_an_arm_is_done_between_the_least_and_the_most_jobs(
    medians: list[float], blocks: int, more: int, precision: float | None
) -> None:
    rule = StopRule(blocks, blocks + more, precision)

    if len(medians) < blocks:
        assert not rule.done(medians)
    elif len(medians) >= blocks + more:
        assert rule.done(medians)
    else:
        precise = precision is not None and relative_half_width(medians) <= precision
        assert rule.done(medians) == precise
    assert rule.done(medians) or not rule.missed(medians)


@given(MEDIANS, st.floats(0.01, 100))
def test_the_unit_of_time_does_not_matter(medians: list[float], factor: float) -> None:
    scaled = [factor * value for value in medians]
    assert relative_half_width(scaled) == pytest.approx(relative_half_width(medians))


def test_intervals_of_arms_that_stopped_hold_the_truth_as_often_as_they_say() -> None:
    """Six jobs at least; see `bench/stop_rule.py` for more devices and rules."""
    rule = StopRule(blocks=6, most_blocks=12, precision=0.05)
    arms = np.exp(0.05 * np.random.default_rng(0).standard_normal((1000, rule.most_blocks)))
    jobs = [next(n for n in range(1, 13) if rule.done(arm[:n].tolist())) for arm in arms]
    intervals = [median_interval(arm[:n]) for arm, n in zip(arms, jobs, strict=True)]

    held = sum(low <= 1 <= high for low, high in intervals)
    # Three standard errors below 95 %.
    assert held >= 950 - 3 * np.sqrt(1000 * 0.95 * 0.05)
    assert 6 < np.mean(jobs) < 12
