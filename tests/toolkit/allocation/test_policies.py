"""Ways to divide probes, beside each other on the same fleet and the same luck."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_profiles import NOW, profile

from toolkit.allocation.allocate import allocate
from toolkit.allocation.compare import Luck, compare, devices_of
from toolkit.allocation.oort import Oort, OortSettings
from toolkit.allocation.policies import Devices, careful, fastest, proportional, uniform

POLICIES = {
    "uniform": uniform,
    "proportional": proportional,
    "fastest": fastest,
    "careful": careful(0.9),
}


def mixed_fleet(devices: int = 60, **settings) -> Devices:
    generator = np.random.default_rng(7)
    return Devices.of(
        generator.lognormal(0, 1, devices), fixed=generator.exponential(1, devices), **settings
    )


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 30)), min_size=1, max_size=12),
    st.integers(1, 100),
)
@settings(max_examples=150, deadline=None)
def test_shares_add_up_within_their_caps_and_near_their_parts(rows, probes):
    seconds, caps = (np.array(column) for column in zip(*rows, strict=True))
    devices = Devices.of(seconds, caps=caps)
    for policy, parts in ((uniform, np.ones(len(caps))), (proportional, 1 / seconds)):
        if caps.sum() < probes:
            with pytest.raises(ValueError, match="room"):
                policy(devices, probes)
            continue
        counts = policy(devices, probes)
        assert counts.sum() == probes
        assert np.all((counts >= 0) & (counts <= caps))
        free = counts < np.minimum(caps, probes)
        if np.all(free):
            assert np.all(np.abs(counts - probes * parts / parts.sum()) < 1)


def test_uniform_and_proportional_on_a_fleet_by_hand():
    devices = Devices.of(np.array([1.0, 2.0, 4.0]))
    assert uniform(devices, 7).tolist() == [3, 2, 2]
    assert proportional(devices, 7).tolist() == [4, 2, 1]
    capped = Devices.of(np.array([1.0, 2.0, 4.0]), caps=np.array([1, 9, 9]))
    assert proportional(capped, 7).tolist() == [1, 4, 2]


def test_without_noise_the_minimum_makespan_is_what_happens_and_none_is_faster():
    outcomes = {each.policy: each for each in compare(mixed_fleet(), 500, POLICIES, trials=3)}
    best = outcomes["fastest"]
    assert best.median_s == pytest.approx(best.planned_s)
    assert best.arrived_share == 1.0 and best.late_share == 0.0
    for outcome in outcomes.values():
        assert outcome.median_s >= best.median_s * (1 - 1e-12)
    assert outcomes["uniform"].median_s > 3 * best.median_s


def test_the_same_seed_gives_the_same_luck():
    fleet = mixed_fleet(sigma=0.3)
    luck = Luck(straggling=0.1)
    first, again, other = (
        compare(fleet, 500, {"fastest": fastest}, trials=20, seed=seed, luck=luck)[0].seconds
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_over_provision_completes_rounds_that_absences_break():
    fleet = mixed_fleet(availability=0.7)
    outcomes = {each.policy: each for each in compare(fleet, 2000, POLICIES, trials=100)}
    assert outcomes["fastest"].complete_share == 0.0
    assert outcomes["fastest"].p95_s == float("inf")
    assert outcomes["careful"].complete_share > 0.3
    assert outcomes["careful"].planned_probes > 2000 / 0.75
    assert outcomes["careful"].arrived_share > outcomes["fastest"].arrived_share
    assert outcomes["fastest"].arrived_share == pytest.approx(0.7, abs=0.05)


def test_planning_with_a_quantile_shortens_the_tail_where_some_devices_are_unsteady():
    sigma = np.where(np.arange(60) % 2 == 0, 0.02, 1.0)
    fleet = mixed_fleet(sigma=sigma)
    outcomes = {each.policy: each for each in compare(fleet, 2000, POLICIES, trials=200)}
    assert outcomes["careful"].p95_s < outcomes["fastest"].p95_s


def test_stragglers_miss_a_deadline():
    fleet = mixed_fleet()
    calm = compare(fleet, 500, {"fastest": fastest}, trials=1)[0].planned_s
    hit = compare(
        fleet,
        500,
        {"fastest": fastest},
        trials=200,
        luck=Luck(straggling=0.2),
        deadline_s=calm * 1.01,
    )[0]
    assert 0.1 < hit.late_share <= 0.25
    assert hit.arrived_share < 1.0
    assert hit.complete_share == 1.0


def test_devices_come_from_an_allocation():
    made = allocate(
        [profile("a", spread=0.1), profile("b", seconds=2.0)],
        probes=6,
        batch=4,
        tokens=32,
        now=NOW,
        fixed_s=0.5,
        availability={"b": 0.5},
    )
    devices = devices_of(made)
    assert devices.seconds.tolist() == [1.0, 2.0]
    assert devices.fixed.tolist() == [0.5, 0.5]
    assert devices.availability.tolist() == [1.0, 0.5]
    assert devices.sigma[0] > 0 and devices.sigma[1] == 0


# Oort


def test_oort_asks_more_than_it_waits_for_and_gives_equal_shares():
    counts = Oort(OortSettings(participants=10))(mixed_fleet(), 100)
    assert np.count_nonzero(counts) == 13
    assert set(counts[counts > 0].tolist()) == {10}


def test_oort_explores_before_it_repeats_and_prefers_the_useful():
    devices = Devices.of(np.ones(40))
    oort = Oort(OortSettings(participants=10, over_commit=1.0, exploration=0.5))
    useful = np.zeros(40)
    useful[::4] = 10.0
    seen: set[int] = set()
    for _ in range(40):
        chosen = np.flatnonzero(oort(devices, 10))
        seen |= set(chosen.tolist())
        oort.observe(chosen, np.ones(len(chosen)), useful[chosen])
    assert seen == set(range(40))
    late = [np.flatnonzero(oort(devices, 10)) for _ in range(5)]
    assert np.mean([np.mean(useful[chosen] > 0) for chosen in late]) > 0.8


def test_oort_avoids_slow_devices_of_the_same_use():
    seconds = np.where(np.arange(40) < 20, 1.0, 20.0)
    devices = Devices.of(seconds)
    oort = Oort(OortSettings(participants=10, over_commit=1.0))
    for _ in range(30):
        chosen = np.flatnonzero(oort(devices, 10))
        oort.observe(chosen, np.ones(len(chosen)), np.ones(len(chosen)))
    assert np.mean(seconds[np.flatnonzero(oort(devices, 10))] == 1.0) > 0.8


def test_oort_asks_everybody_of_a_small_fleet():
    counts = Oort(OortSettings(participants=10))(Devices.of(np.ones(4)), 100)
    assert counts.tolist() == [25] * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: Luck(straggling=1.5),
        lambda: Luck(straggling_factor=0.5),
        lambda: OortSettings(participants=0),
        lambda: careful(1.0),
        lambda: compare(mixed_fleet(), 0, POLICIES),
        lambda: compare(mixed_fleet(), 5, POLICIES, trials=0),
        lambda: Oort(OortSettings(participants=1)).observe(np.array([0]), np.ones(1), np.ones(1)),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError):
        make()
