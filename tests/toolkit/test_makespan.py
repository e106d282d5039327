"""Minimum-makespan division of probes against exhaustive search and a MILP solver."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from toolkit.allocation.makespan import fractional_lower_bound, makespan, minimum_makespan

SECONDS = st.floats(0.01, 100.0)
FIXED = st.one_of(st.just(0.0), st.floats(0.0, 50.0))


@st.composite
def problems(draw, most_devices=4, most_probes=7):
    devices = draw(st.integers(1, most_devices))
    seconds = np.array(draw(st.lists(SECONDS, min_size=devices, max_size=devices)))
    fixed = np.array(draw(st.lists(FIXED, min_size=devices, max_size=devices)))
    caps = np.array(
        draw(st.lists(st.integers(0, most_probes), min_size=devices, max_size=devices)),
        dtype=np.int64,
    )
    caps[0] = max(caps[0], 1)
    probes = draw(st.integers(1, min(most_probes, int(caps.sum()))))
    return seconds, fixed, caps, probes


def exhaustive_makespan(seconds, fixed, caps, probes):
    return min(
        makespan(seconds, fixed, np.array(counts))
        for counts in itertools.product(*(range(min(cap, probes) + 1) for cap in caps))
        if sum(counts) == probes
    )


def milp_makespan(seconds, fixed, caps, probes):
    """Variables: counts, whether a device takes part, the makespan; by HiGHS."""
    n = len(seconds)
    cost = np.concatenate([np.zeros(2 * n), [1.0]])
    time = np.hstack([np.diag(seconds), np.diag(fixed), -np.ones((n, 1))])
    used = np.hstack([np.eye(n), -np.diag(caps.astype(float)), np.zeros((n, 1))])
    total = np.concatenate([np.ones(n), np.zeros(n + 1)])[None]
    result = milp(
        cost,
        integrality=np.concatenate([np.ones(2 * n), [0]]),
        bounds=Bounds(0, np.concatenate([caps, np.ones(n), [np.inf]])),
        constraints=[
            LinearConstraint(time, ub=0),
            LinearConstraint(used, ub=0),
            LinearConstraint(total, lb=probes, ub=probes),
        ],
        options={"mip_rel_gap": 0.0},
    )
    assert result.success
    return result.fun


@given(problems())
@settings(max_examples=150, deadline=None)
def test_no_integer_division_is_faster(problem):
    seconds, fixed, caps, probes = problem
    counts = minimum_makespan(*problem)
    assert counts.sum() == probes
    assert np.all(counts >= 0)
    assert np.all(counts <= caps)
    assert makespan(seconds, fixed, counts) == exhaustive_makespan(*problem)


@given(problems(most_devices=5, most_probes=40))
@settings(max_examples=25, deadline=None)
def test_agrees_with_a_milp_solver(problem):
    seconds, fixed, _, _ = problem
    ours = makespan(seconds, fixed, minimum_makespan(*problem))
    assert ours == pytest.approx(milp_makespan(*problem), rel=1e-6)


@given(problems(most_devices=20, most_probes=500))
@settings(max_examples=100, deadline=None)
def test_the_fractional_bound_is_reached_by_real_shares_and_by_nothing_faster(problem):
    seconds, fixed, caps, probes = problem
    reached = makespan(seconds, fixed, minimum_makespan(*problem))
    bound = fractional_lower_bound(*problem, reached=reached)
    assert bound <= reached

    def shares(time):
        return np.clip((time - fixed) / seconds, 0, caps).sum()

    assert shares(bound * (1 + 1e-9)) >= probes * (1 - 1e-9)
    assert shares(bound * (1 - 1e-6)) < probes


@given(st.integers(0, 2**32 - 1), st.integers(1, 200_000))
@settings(max_examples=20, deadline=None)
def test_large_fleets_take_exactly_the_earliest_completion_times(seed, probes):
    """Checked against the definition: the makespan is the N-th smallest completion time."""
    generator = np.random.default_rng(seed)
    seconds = generator.lognormal(0, 2, 3000)
    fixed = generator.exponential(5, 3000)
    caps = generator.integers(50, 100, 3000)
    counts = minimum_makespan(seconds, fixed, caps, min(probes, int(caps.sum())))
    probes = int(counts.sum())
    every_time = (fixed[:, None] + seconds[:, None] * np.arange(1, 101))[
        np.arange(1, 101) <= caps[:, None]
    ]
    expected = np.partition(every_time, probes - 1)[probes - 1]
    assert makespan(seconds, fixed, counts) == expected


def test_of_equal_devices_the_first_get_the_remainder():
    counts = minimum_makespan(np.ones(4), np.zeros(4), np.full(4, 10), 6)
    assert counts.tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("seconds", "fixed", "cap", "probes"),
    [(0.0, 0.0, 1, 1), (1.0, -1.0, 1, 1), (1.0, 0.0, -1, 1), (1.0, 0.0, 1, 2), (1.0, 0.0, 1, 0)],
)
def test_impossible_problems_are_refused(seconds, fixed, cap, probes):
    with pytest.raises(ValueError):
        minimum_makespan(np.array([seconds]), np.array([fixed]), np.array([cap]), probes)
