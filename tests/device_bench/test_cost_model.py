"""The cost model recovers what made the timings, and says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bench.cost_model import TERMS, fit_cost_model
from device_bench.plan import Arm, arms_of
from device_bench.profile import CostModel
from tests.device_bench.fake_timing_runner import COST, TANGENT_COST

ARMS = arms_of([1, 4], [32, 128], [1, 8], ["central", "forward"])


def seconds(model: CostModel, arm: Arm) -> float:
    return model.probe_seconds(
        batch=arm.batch,
        tokens=arm.tokens,
        directions=arm.directions_per_pass,
        estimator=arm.estimator,
    )


def test_exact_timings_give_back_the_terms() -> None:
    fit = fit_cost_model(ARMS, [seconds(COST, arm) for arm in ARMS])

    assert fit.determined
    assert fit.model.median_relative_error == pytest.approx(0.0, abs=1e-4)
    for term in TERMS:
        assert getattr(fit.model, term) == pytest.approx(getattr(COST, term), rel=1e-2)


def test_tangents_are_priced_as_copies_of_the_batch_with_the_point_itself() -> None:
    whole_pass = TANGENT_COST.pass_seconds(batch=2, tokens=64, directions=9)
    one = TANGENT_COST.probe_seconds(batch=2, tokens=64, directions=8, estimator="tangent")
    assert one == pytest.approx(whole_pass / 8)

    arms = arms_of([1, 4], [32, 128], [1, 8], ["tangent"])
    fit = fit_cost_model(arms, [seconds(TANGENT_COST, arm) for arm in arms])

    assert fit.determined
    for term in TERMS:
        assert getattr(fit.model, term) == pytest.approx(getattr(TANGENT_COST, term), rel=1e-2)


def test_noisy_timings_predict_unmeasured_settings_within_the_noise() -> None:
    generator = np.random.default_rng(3)
    noisy = [seconds(COST, arm) * generator.normal(1.0, 0.02) for arm in ARMS]

    fit = fit_cost_model(ARMS, noisy)

    for arm in arms_of([2, 3], [64, 96], [2, 4], ["central", "forward"]):
        assert seconds(fit.model, arm) == pytest.approx(seconds(COST, arm), rel=0.05)
    assert fit.model.median_relative_error is not None
    assert fit.model.median_relative_error < 0.06


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(st.floats(0, 1), st.floats(0, 1e-2), st.floats(0, 1e-4), st.floats(0, 0.1)).filter(
        lambda terms: max(terms) > 1e-6
    )
)
def test_any_physical_cost_is_predicted_at_the_measured_arms(terms: tuple) -> None:
    true = CostModel(**dict(zip(TERMS, terms, strict=True)), median_relative_error=None)

    fit = fit_cost_model(ARMS, [seconds(true, arm) for arm in ARMS])

    for arm in ARMS:
        assert seconds(fit.model, arm) == pytest.approx(seconds(true, arm), rel=1e-3)


def test_terms_are_never_negative() -> None:
    generator = np.random.default_rng(4)
    for _ in range(20):
        fit = fit_cost_model(ARMS, generator.uniform(0.01, 1.0, len(ARMS)).tolist())
        assert min(getattr(fit.model, term) for term in TERMS) >= 0


def test_random_timings_have_a_large_held_out_error() -> None:
    timings = np.exp(np.random.default_rng(5).normal(0, 2, len(ARMS))).tolist()

    fit = fit_cost_model(ARMS, timings)

    assert fit.model.median_relative_error is not None
    assert fit.model.median_relative_error > 0.5


def test_the_error_is_of_arms_that_the_fit_has_not_seen() -> None:
    arms = arms_of([1], [32, 128], [1], ["central"])
    timings = [1.0, 2.0]

    fit = fit_cost_model(arms, timings)

    for arm, timing in zip(arms, timings, strict=True):
        assert seconds(fit.model, arm) == pytest.approx(timing, rel=1e-3)
    # Neither timing follows from the other alone.
    assert fit.model.median_relative_error is not None
    assert fit.model.median_relative_error > 0.1


def test_one_arm_is_predicted_but_determines_nothing() -> None:
    arm = Arm(batch=2, tokens=64, directions_per_pass=4, estimator="central", threads=1)

    fit = fit_cost_model([arm], [0.5])

    assert seconds(fit.model, arm) == pytest.approx(0.5, rel=1e-3)
    assert fit.model.median_relative_error is None
    assert not fit.determined
    # The cost is shared among the terms, so a larger batch is not taken to be free.
    larger = arm.model_copy(update={"batch": 16})
    assert seconds(fit.model, larger) > 2 * seconds(fit.model, arm)


@pytest.mark.parametrize(
    "arms",
    [
        arms_of([1, 2, 4, 8], [32], [1, 8], ["central", "forward"]),  # one length
        arms_of([1, 4], [32, 128], [1], ["central", "forward"]),  # one direction at a time
        arms_of([1], [32, 128], [1, 8], ["central"])[:3],  # three arms
    ],
)
def test_arms_that_do_not_tell_the_terms_apart_are_fitted_but_not_determined(
    arms: tuple[Arm, ...],
) -> None:
    fit = fit_cost_model(arms, [seconds(COST, arm) for arm in arms])

    assert not fit.determined
    for arm in arms:
        assert seconds(fit.model, arm) == pytest.approx(seconds(COST, arm), rel=1e-3)
