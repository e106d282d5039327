"""Minimum-makespan division of probes against exhaustive search and a MILP solver."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from toolkit.allocation.makespan import (
    divide,
    fractional_lower_bound,
    makespan,
    minimum_makespan,
    nothing_faster,
)
from toolkit.allocation.options import Options

SECONDS = st.floats(0.01, 100.0)
FIXED = st.one_of(st.just(0.0), st.floats(0.0, 50.0))
# Few distinct values, so that completion times coincide.
COARSE = st.sampled_from([0.5, 1.0, 2.0])


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


@st.composite
def option_problems(draw, *, weighted, most_devices=4, most_probes=12):
    """(options, wanted, floors): up to 3 options a device, caps, fixed costs and floors."""
    rows = []
    devices = draw(st.integers(1, most_devices))
    floors = []
    for device in range(devices):
        options = draw(st.integers(1, 3))
        for _ in range(options):
            seconds = draw(st.one_of(SECONDS, COARSE))
            fixed = draw(st.one_of(FIXED, COARSE))
            cap = draw(st.integers(0, most_probes))
            weight = draw(st.sampled_from([0.25, 0.5, 0.75, 1.0])) if weighted else 1.0
            rows.append((device, seconds, fixed, cap, weight))
        cap = max(row[3] for row in rows[-options:])
        floors.append(draw(st.integers(0, min(2, cap))))
    if not any(row[3] for row in rows):
        rows[0] = (*rows[0][:3], 3, rows[0][4])
    device, seconds, fixed, caps, weights = (np.array(column) for column in zip(*rows, strict=True))
    options = Options(device, seconds, fixed, caps, weights)
    most = np.maximum.reduceat(weights * caps, np.flatnonzero(np.diff(device, prepend=-1)))
    wanted = draw(st.floats(0.01, 1.0)) * most.sum()
    return options, float(max(1, np.floor(wanted)) if not weighted else wanted), np.array(floors)


def exhaustive_makespan(seconds, fixed, caps, probes):
    return min(
        makespan(seconds, fixed, np.array(counts))
        for counts in itertools.product(*(range(min(cap, probes) + 1) for cap in caps))
        if sum(counts) == probes
    )


def milp_makespan(options, wanted, floors=None):
    """Variables: counts of each option, whether it is used, the makespan; by HiGHS."""
    n, devices = len(options.device), options.devices
    owner = (options.device[None] == np.arange(devices)[:, None]).astype(float)
    none = np.zeros((devices, n))
    constraints = [
        LinearConstraint(
            np.hstack([np.diag(options.seconds), np.diag(options.fixed), -np.ones((n, 1))]), ub=0
        ),
        LinearConstraint(
            np.hstack([np.eye(n), -np.diag(options.caps.astype(float)), np.zeros((n, 1))]), ub=0
        ),
        LinearConstraint(np.hstack([none, owner, np.zeros((devices, 1))]), ub=1),
        LinearConstraint(np.concatenate([options.weights, np.zeros(n + 1)])[None], lb=wanted),
    ]
    if floors is not None:
        constraints.append(
            LinearConstraint(np.hstack([owner, none, np.zeros((devices, 1))]), lb=floors)
        )
    result = milp(
        np.concatenate([np.zeros(2 * n), [1.0]]),
        integrality=np.concatenate([np.ones(2 * n), [0]]),
        bounds=Bounds(0, np.concatenate([options.caps, np.ones(n), [np.inf]])),
        constraints=constraints,
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
    seconds, fixed, caps, probes = problem
    ours = makespan(seconds, fixed, minimum_makespan(*problem))
    milp_ = milp_makespan(Options.one_each(seconds, fixed, caps), probes)
    assert ours == pytest.approx(milp_, rel=1e-6)


def check_division(options, wanted, floors):
    division = divide(options, wanted, floors)
    assert np.all(options.device[division.option] == np.arange(options.devices))
    assert np.all(division.counts >= floors)
    assert np.all(division.counts <= options.caps[division.option])
    assert division.worth(options) >= wanted * (1 - 1e-9)
    reached = division.makespan(options)
    assert reached == pytest.approx(milp_makespan(options, wanted, floors), rel=1e-6)
    assert fractional_lower_bound(options, wanted, floors) <= reached * (1 + 1e-9)
    assert nothing_faster(options, wanted, reached, floors)
    return division


@given(option_problems(weighted=False))
@settings(max_examples=120, deadline=None)
def test_options_caps_floors_and_fixed_costs_agree_with_a_milp_solver(problem):
    _, wanted, floors = problem
    division = check_division(*problem)
    assert division.counts.sum() == max(wanted, floors.sum())


@given(option_problems(weighted=True))
@settings(max_examples=120, deadline=None)
def test_probes_of_different_worth_agree_with_a_milp_solver(problem):
    check_division(*problem)


@given(problems(most_devices=20, most_probes=500))
@settings(max_examples=100, deadline=None)
def test_the_fractional_bound_is_reached_by_real_shares_and_by_nothing_faster(problem):
    seconds, fixed, caps, probes = problem
    reached = makespan(seconds, fixed, minimum_makespan(*problem))
    bound = fractional_lower_bound(Options.one_each(seconds, fixed, caps), probes)
    assert bound <= reached * (1 + 1e-12)

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


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.999), st.booleans())
@settings(max_examples=30, deadline=None)
def test_large_fleets_with_options_and_floors_are_certified(seed, share, coarse):
    """Too many completion times to sort at once; coarse ones coincide in their thousands."""
    generator = np.random.default_rng(seed)
    device = np.repeat(np.arange(4000), generator.integers(1, 4, 4000))
    n = len(device)
    seconds = generator.choice([0.5, 1.0, 1.5], n) if coarse else generator.lognormal(0, 2, n)
    fixed = np.zeros(n) if coarse else generator.exponential(5, n)
    caps = generator.integers(3, 1000, n)
    weights = generator.choice([0.5, 1.0], n)
    options = Options(device, seconds, fixed, caps, weights)
    floors = generator.integers(0, 3, 4000)
    most = np.maximum.reduceat(weights * caps, np.flatnonzero(np.diff(device, prepend=-1))).sum()
    wanted = max(share * most, 1.0)
    division = divide(options, wanted, floors)
    reached = division.makespan(options)
    assert division.worth(options) >= wanted * (1 - 1e-9)
    assert np.all(division.counts >= floors)
    assert np.all(division.counts <= caps[division.option])
    assert np.all(device[division.option] == np.arange(4000))
    assert nothing_faster(options, wanted, reached, floors)


def test_a_makespan_that_can_be_beaten_is_not_certified():
    options = Options.one_each(np.ones(2), np.zeros(2), np.full(2, 9))
    assert nothing_faster(options, 4, 2.0)
    assert not nothing_faster(options, 4, 2.5)


def test_of_equal_devices_the_first_get_the_remainder():
    counts = minimum_makespan(np.ones(4), np.zeros(4), np.full(4, 10), 6)
    assert counts.tolist() == [2, 2, 1, 1]


def test_completion_times_that_all_coincide_are_divided_in_order():
    counts = minimum_makespan(np.ones(20_000), np.zeros(20_000), np.full(20_000, 10**6), 10**8 + 1)
    assert counts[0] == 5001 and np.all(counts[1:] == 5000)


def test_probes_too_short_for_the_clock_are_still_counted_exactly():
    """At the end one device has many completion times between two floating-point numbers."""
    seconds, fixed = np.array([1e-12, 1.0]), np.array([1e6, 0.0])
    counts = minimum_makespan(seconds, fixed, np.full(2, 10**9), 1_500_000)
    assert counts.sum() == 1_500_000


def test_a_device_switches_to_the_slow_start_when_it_pays():
    """A fast option that takes long to load against a slow one at once."""
    options = Options(
        np.array([0, 0]),
        np.array([1.0, 0.1]),
        np.array([0.0, 5.0]),
        np.full(2, 1000),
        np.ones(2),
    )
    assert divide(options, 4).option.tolist() == [0]
    assert divide(options, 40).option.tolist() == [1]


def test_an_option_that_only_just_reaches_the_floor_counts():
    """The option that is at the floor first has too little room; the other has just the floor."""
    options = Options(
        np.array([0, 0]),
        np.array([1.0, 3.0]),
        np.zeros(2),
        np.array([3, 2]),
        np.array([0.5, 1.0]),
    )
    division = divide(options, 2.0, np.array([2]))
    assert (division.option.tolist(), division.counts.tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("seconds", "fixed", "cap", "probes"),
    [(0.0, 0.0, 1, 1), (1.0, -1.0, 1, 1), (1.0, 0.0, -1, 1), (1.0, 0.0, 1, 2), (1.0, 0.0, 1, 0)],
)
def test_impossible_problems_are_refused(seconds, fixed, cap, probes):
    with pytest.raises(ValueError):
        minimum_makespan(np.array([seconds]), np.array([fixed]), np.array([cap]), probes)


@pytest.mark.parametrize(
    ("device", "weight", "floor"),
    [([0, 2], 1.0, 0), ([1, 0], 1.0, 0), ([0, 1], 0.0, 0), ([0, 1], 1.0, 9)],
)
def test_malformed_options_and_floors_are_refused(device, weight, floor):
    options = Options(np.array(device), np.ones(2), np.zeros(2), np.full(2, 3), np.full(2, weight))
    with pytest.raises(ValueError):
        divide(options, 1, np.full(options.devices, floor))
