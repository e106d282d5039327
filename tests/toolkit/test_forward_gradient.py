"""Forward gradients are unbiased; updates are the same bits everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.lora.directions import direction, draw_seeds
from toolkit.forward_gradient import apply_update, exact_norm, forward_gradient
from toolkit.server_update import RoundState, SgdStep, TrustRatioStep, coefficients

PARAMETERS = 50


def slopes_of(gradient, seeds):
    return np.array([gradient @ direction(s, len(gradient)) for s in seeds], dtype=np.float32)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_estimate_is_unbiased(seed):
    """Each element's mean error over n probes is normal with variance below ‖g‖²/n."""
    gradient = np.random.default_rng(seed).normal(size=PARAMETERS).astype(np.float32)
    seeds = draw_seeds(seed, 1, 4000)
    error = forward_gradient(seeds, slopes_of(gradient, seeds), PARAMETERS) - gradient
    standard_error = np.linalg.norm(gradient) / np.sqrt(len(seeds))
    assert np.abs(error).max() < 6 * standard_error


def test_the_expected_squared_error_is_that_of_theory():
    """For Rademacher directions E‖ĝ − g‖² = (p − 1)‖g‖²/n."""
    gradient = np.ones(PARAMETERS, dtype=np.float32)
    errors = []
    for trial in range(1, 401):
        seeds = draw_seeds(7, trial, 20)
        estimate = forward_gradient(seeds, slopes_of(gradient, seeds), PARAMETERS)
        errors.append(np.sum((estimate - gradient) ** 2))
    theory = (PARAMETERS - 1) * PARAMETERS / 20
    assert np.mean(errors) == pytest.approx(theory, rel=0.05)


def test_the_update_is_the_step_along_the_estimate():
    values = np.random.default_rng(0).normal(size=PARAMETERS).astype(np.float32)
    seeds = draw_seeds(3, 1, 16)
    slopes = np.random.default_rng(1).normal(size=16).astype(np.float32)
    gradient = forward_gradient(seeds, slopes, PARAMETERS)
    pairs = zip(seeds, coefficients(slopes, 0.25).tolist(), strict=True)
    moved = apply_update(values, pairs)
    np.testing.assert_allclose(moved, values - 0.25 * gradient, rtol=0, atol=1e-6)


def test_the_update_of_several_rounds_is_that_of_all_pairs_in_order():
    """A replica that missed rounds catches up to the same bits."""
    values = np.random.default_rng(0).normal(size=PARAMETERS).astype(np.float32)
    pairs = [(seed, 0.1 * (i % 7 - 3)) for i, seed in enumerate(draw_seeds(3, 1, 40))]
    step_by_step = apply_update(apply_update(values, pairs[:13]), pairs[13:])
    assert step_by_step.tobytes() == apply_update(values, pairs).tobytes()


@given(st.permutations(range(40)))
def test_the_norm_does_not_depend_on_the_order_of_summation(order):
    scale = np.logspace(-6, 6, 40).astype(np.float32)
    assert exact_norm(scale[list(order)]) == exact_norm(scale)


def state(round_number=1, rounds=4, probes=16, parameters=1600, values=9.0, gradient=3.0):
    return RoundState(round_number, rounds, probes, parameters, values, gradient)


@given(st.integers(1, 20), st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_trust_ratio_step_is_a_share_of_the_values_norm(round_number, values, gradient):
    at = state(round_number, 20, values=values, gradient=gradient)
    share = 0.1 * (1 - (round_number - 1) / 20)
    assert TrustRatioStep(ratio=0.1).length(at) * gradient == pytest.approx(share * values)


def test_the_usual_step_grows_with_the_root_of_the_probes():
    few, many = (TrustRatioStep().length(state(probes=n)) for n in (4, 16))
    assert many == pytest.approx(2 * few)


@pytest.mark.parametrize("annealing", ["linear", "none"])
def test_the_usual_steps_of_a_long_run_cannot_stretch_the_values_beyond_two(annealing):
    rule = TrustRatioStep(annealing=annealing)
    squares = 0.0
    for number in range(1, 1001):
        at = state(number, 1000, probes=1600)
        squares += (rule.length(at) * at.gradient_norm / at.values_norm) ** 2
    assert np.exp(squares / 2) == pytest.approx(2.0, rel=0.01)


def test_without_any_slope_nothing_moves():
    assert TrustRatioStep().length(state(gradient=0.0)) == 0.0


def test_sgd_anneals_its_rate_linearly():
    rates = [SgdStep(rate=0.4).length(state(number)) for number in range(1, 5)]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
