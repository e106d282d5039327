"""The bisection between rounding and curvature, on losses whose best step is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bench.numerics.contract import StepLosses
from device_bench.numerics.step_search import FINEST, STEPS, StepSearch, epsilon_at

DIRECTIONS = 8
BASE = 5.0
COARSEST = epsilon_at(STEPS - 1)

Losses = Callable[[int], StepLosses | None]


def noisy(sigma: float, slope: float, curvature: float, third: float, seed: int) -> Losses:
    """Losses along directions whose derivatives differ, with normal noise of deviation σ."""
    generator = np.random.default_rng(seed)
    s, c, t = (size * generator.normal(1.0, 0.2, DIRECTIONS) for size in (slope, curvature, third))

    def at(step: int) -> StepLosses:
        e = epsilon_at(step)
        even, odd = BASE + c * e**2 / 2, s * e + t * e**3 / 6
        noise = sigma * generator.normal(size=(2, DIRECTIONS))
        plus, minus = even + odd + noise[0], even - odd + noise[1]
        return StepLosses(epsilon=e, plus=tuple(plus), minus=tuple(minus))

    return at


def run(search: StepSearch, losses: Losses, base: float = BASE) -> int:
    """Answers the search until it wants nothing more; how often that was."""
    known: dict[int, StepLosses | None] = {}
    turns = 0
    while search.wanted:
        known |= {step: losses(step) for step in search.wanted if step not in known}
        asked = {step: known[step] for step in search.wanted}
        whole = {step: each for step, each in asked.items() if each is not None}
        search.tell(whole if len(whole) == len(asked) else None, base)
        turns += 1
    return turns


def central_error(epsilon: float, sigma: float, third: float) -> float:
    return math.hypot(sigma / (math.sqrt(2) * epsilon), third * epsilon**2 / 6)


def forward_error(epsilon: float, sigma: float, curvature: float) -> float:
    return math.hypot(math.sqrt(2) * sigma / epsilon, curvature * epsilon / 2)


# Steps well inside the grid, so that both sides of the V can be seen.
best_steps = st.floats(math.log10(FINEST) + 0.7, math.log10(COARSEST) - 0.7).map(lambda x: 10**x)
sigmas = st.floats(-6, -2).map(lambda x: 10**x)
seeds = st.integers(0, 2**32 - 1)


@settings(derandomize=True, max_examples=300)
@given(best=best_steps, sigma=sigmas, seed=seeds)
def test_central_differences_get_a_step_whose_error_is_near_the_least(
    best: float, sigma: float, seed: int
) -> None:
    third = 3 * sigma / best**3  # the error is least at (3σ / t)^(1/3)
    search = StepSearch("central")

    turns = run(search, noisy(sigma, 1.0, 1.0, third, seed))

    assert turns <= StepSearch.TURNS
    found = search.best()
    assert best / 3 < found.epsilon < 3 * best
    least = central_error(best, sigma, third)
    assert central_error(found.epsilon, sigma, third) < 3 * least
    assert least / 3 < found.error < 3 * least


@settings(derandomize=True, max_examples=300)
@given(best=best_steps, sigma=sigmas, seed=seeds)
def test_forward_differences_get_a_step_whose_error_is_near_the_least(
    best: float, sigma: float, seed: int
) -> None:
    curvature = 2 * math.sqrt(2) * sigma / best**2  # the error is least at (2√2 σ / c)^(1/2)
    search = StepSearch("forward")

    turns = run(search, noisy(sigma, 1.0, curvature, 0.0, seed), BASE + sigma)

    assert turns <= StepSearch.TURNS
    found = search.best()
    assert best / 3 < found.epsilon < 3 * best
    least = forward_error(best, sigma, curvature)
    assert forward_error(found.epsilon, sigma, curvature) < 2 * least


@pytest.mark.parametrize("estimator", ["central", "forward"])
def test_noise_alone_asks_for_the_coarsest_steps(estimator: str) -> None:
    search = StepSearch(estimator)

    run(search, noisy(0.1, 0.0, 0.0, 0.0, seed=1))

    assert search.best().epsilon > COARSEST / 4


@pytest.mark.parametrize("estimator", ["central", "forward"])
def test_curvature_alone_asks_for_the_finest_steps(estimator: str) -> None:
    search = StepSearch(estimator)

    run(search, noisy(0.0, 1.0, 1e9, 1e15, seed=1))

    assert search.best().epsilon < 2 * FINEST


@pytest.mark.parametrize("estimator", ["central", "forward"])
def test_steps_at_which_nothing_can_be_computed_are_too_coarse(estimator: str) -> None:
    smooth = noisy(1e-6, 1.0, 0.0, 0.0, seed=1)
    search = StepSearch(estimator)

    run(search, lambda step: smooth(step) if epsilon_at(step) < 1e-3 else None)

    assert 1e-4 < search.best().epsilon < 1e-3


def test_a_loss_that_does_not_move_gives_no_step_a_preference_over_the_coarsest() -> None:
    search = StepSearch("central")

    run(search, noisy(0.0, 0.0, 0.0, 0.0, seed=1))

    assert search.best().epsilon > COARSEST / 4
