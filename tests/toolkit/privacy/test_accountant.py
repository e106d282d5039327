"""Epsilon agrees with what is known exactly, and moves the right way."""

from __future__ import annotations

import math
from dataclasses import replace

import dp_accounting
import numpy as np
import pytest
from scipy import stats

from toolkit.errors import TrainingError
from toolkit.privacy.accountant import Participation, epsilon, multiplier_for
from toolkit.privacy.slope_noise import SlopeNoise

EVERYONE = Participation(rounds=30, slopes=4, cohort=100, population=100)
HIDDEN = Participation(rounds=200, slopes=4, cohort=20, population=1000, hidden=True)
DELTA = 1e-5


@pytest.mark.parametrize(("rounds", "slopes"), [(1, 1), (1, 9), (30, 4)])
def test_epsilon_bounds_that_of_one_gaussian_mechanism_closely(rounds, slopes):
    """All rounds together are one Gaussian mechanism of multiplier z/(2√(slopes · rounds))."""
    participation = replace(EVERYONE, rounds=rounds, slopes=slopes)
    z = 2 * 5 * math.sqrt(slopes * rounds)
    exact = dp_accounting.get_epsilon_gaussian(5.0, DELTA)
    assert exact <= epsilon(z, participation, DELTA) < 1.1 * exact


def test_epsilon_is_no_less_than_an_attacker_finds():
    """The worst pair of data sets: all slopes at +C, or all at −C; the best test between them."""
    noise, slopes = SlopeNoise(clip=0.5, multiplier=8.0), 4
    participation = Participation(rounds=1, slopes=slopes, cohort=1, population=1)
    rng = np.random.default_rng(0)
    sums = []
    for sign in (1, -1):
        data = np.full((20_000, slopes), sign * 3, dtype=np.float32)
        sums.append(noise.applied(data, rng).sum(axis=1))
    bound = epsilon(noise.multiplier, participation, DELTA)
    for threshold in np.linspace(-10, 10, 21):
        true, false = (np.mean(each > threshold) for each in sums)
        assert true <= math.exp(bound) * false + DELTA + 5 / math.sqrt(20_000)
    # The two are told apart as well as a distance of 2C√q in noise of zC allows, and no better.
    separation = (sums[0].mean() - sums[1].mean()) / sums[0].std()
    assert separation == pytest.approx(2 * math.sqrt(slopes) / noise.multiplier, rel=0.05)
    assert stats.norm.cdf(separation / 2) < math.exp(bound) / (1 + math.exp(bound))


def test_a_hidden_choice_of_few_clients_protects_each():
    seen = replace(HIDDEN, hidden=False)
    assert epsilon(20, HIDDEN, DELTA) < 0.3 * epsilon(20, seen, DELTA)


def test_a_hidden_choice_of_everyone_is_no_choice():
    everyone = replace(EVERYONE, hidden=True)
    assert epsilon(20, everyone, DELTA) == epsilon(20, EVERYONE, DELTA)


def test_only_the_rounds_with_the_client_count_where_they_are_seen():
    often = replace(EVERYONE, rounds=1000, most_rounds=30)
    assert epsilon(20, often, DELTA) == epsilon(20, EVERYONE, DELTA)


@pytest.mark.parametrize("participation", [EVERYONE, HIDDEN], ids=["seen", "hidden"])
def test_epsilon_grows_with_what_is_released_and_falls_with_noise(participation):
    base = epsilon(20, participation, DELTA)
    assert epsilon(40, participation, DELTA) < base
    assert epsilon(20, participation, 1e-7) > base
    for name in ("rounds", "slopes"):
        more = replace(participation, **{name: 2 * getattr(participation, name)})
        assert epsilon(20, more, DELTA) > base
    assert epsilon(20, replace(participation, rounds=0), DELTA) == 0


@pytest.mark.parametrize("participation", [EVERYONE, HIDDEN], ids=["seen", "hidden"])
def test_the_multiplier_for_an_epsilon_reaches_it_and_hardly_more(participation):
    z = multiplier_for(4.0, participation, DELTA)
    assert 3.95 < epsilon(z, participation, DELTA) <= 4.0


@pytest.mark.parametrize(
    ("z", "changes", "delta"),
    [
        (0.0, {}, DELTA),
        (1.0, {}, 0.0),
        (1.0, {}, 1.0),
        (1.0, {"slopes": 0}, DELTA),
        (1.0, {"cohort": 101}, DELTA),
        (1.0, {"cohort": 0}, DELTA),
        (1.0, {"rounds": -1}, DELTA),
        (1.0, {"most_rounds": 0}, DELTA),
    ],
)
def test_numbers_out_of_range_are_refused(z, changes, delta):
    with pytest.raises(TrainingError):
        epsilon(z, replace(EVERYONE, **changes), delta)


def test_an_epsilon_out_of_reach_is_refused():
    with pytest.raises(TrainingError):
        multiplier_for(0.0, EVERYONE, DELTA)
