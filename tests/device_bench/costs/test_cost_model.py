"""The cost model recovers what made the timings, and says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bench.costs.cost_model import TERMS, CostModel, determined, fit_cost_model
from device_bench.costs.setting import Layers, Setting
from device_bench.plans.sweep_plan import arms_of
from tests.device_bench.fake_timing_runner import COST, SHAPE, TANGENT_COST

WHOLE: list[Layers | None] = [None]


def settings_of(
    batches: list[int],
    tokens: list[int],
    directions: list[int],
    estimators: list[str],
    layers: list[Layers | None] = WHOLE,
) -> list[Setting]:
    return [arm.setting for arm in arms_of(batches, tokens, directions, estimators, layers)]


ALL_LAYERS = settings_of([1, 4], [32, 128], [1, 8], ["central", "forward"])
RANGES = settings_of([1, 4], [32, 128], [1, 8], ["central", "forward"], [None, (4, 5)])
TANGENTS = settings_of([1, 4], [32, 128], [1, 8], ["tangent"], [None, (4, 5)])


def seconds(model: CostModel, setting: Setting) -> float:
    work = SHAPE.work(setting)
    assert work is not None
    return model.seconds(work) / setting.directions_per_pass


@pytest.mark.parametrize(("measured", "cost"), [(RANGES, COST), (TANGENTS, TANGENT_COST)])
def test_exact_timings_give_back_the_terms(measured: list[Setting], cost: CostModel) -> None:
    model = fit_cost_model(SHAPE, measured, [seconds(cost, each) for each in measured])

    assert model.undetermined == ()
    assert model.median_relative_error == pytest.approx(0.0, abs=1e-3)
    for term in TERMS:
        assert getattr(model, term) == pytest.approx(getattr(cost, term), rel=5e-2)


def test_without_ranges_of_layers_a_pass_and_its_weights_are_one_number() -> None:
    model = fit_cost_model(SHAPE, ALL_LAYERS, [seconds(COST, each) for each in ALL_LAYERS])

    assert model.undetermined == ("fixed_s", "s_per_weight_byte")
    assert determined(model)
    for setting in settings_of([2], [64], [4], ["central", "forward"]):
        assert seconds(model, setting) == pytest.approx(seconds(COST, setting), rel=1e-2)


def test_noisy_timings_predict_unmeasured_settings_within_the_noise() -> None:
    generator = np.random.default_rng(3)
    noisy = [seconds(COST, each) * generator.normal(1.0, 0.02) for each in RANGES]

    model = fit_cost_model(SHAPE, RANGES, noisy)

    others = settings_of([2, 3], [64, 96], [2, 4], ["central", "forward"], [None, (3, 3), (5, 5)])
    for setting in others:
        assert seconds(model, setting) == pytest.approx(seconds(COST, setting), rel=0.05)
    assert model.median_relative_error is not None
    assert model.median_relative_error < 0.06


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(
        st.floats(0, 1), st.floats(0, 1e-5), st.floats(0, 1e-7), st.floats(0, 1e-7),
        st.floats(0, 1e-5),
    ).filter(lambda terms: max(terms) > 1e-11)
)  # fmt: skip
def test_any_physical_cost_is_predicted_at_the_measured_settings(terms: tuple) -> None:
    true = CostModel(**dict(zip(TERMS, terms, strict=True)), median_relative_error=None)

    model = fit_cost_model(SHAPE, ALL_LAYERS, [seconds(true, each) for each in ALL_LAYERS])

    for setting in ALL_LAYERS:
        assert seconds(model, setting) == pytest.approx(seconds(true, setting), rel=1e-3)


def test_terms_are_never_negative() -> None:
    generator = np.random.default_rng(4)
    for _ in range(20):
        model = fit_cost_model(SHAPE, RANGES, generator.uniform(0.01, 1.0, len(RANGES)).tolist())
        assert min(getattr(model, term) for term in TERMS) >= 0


def test_random_timings_have_a_large_held_out_error() -> None:
    timings = np.exp(np.random.default_rng(5).normal(0, 2, len(ALL_LAYERS))).tolist()

    model = fit_cost_model(SHAPE, ALL_LAYERS, timings)

    assert model.median_relative_error is not None
    assert model.median_relative_error > 0.5


def test_the_error_is_of_arms_that_the_fit_has_not_seen() -> None:
    measured = settings_of([1], [32, 128], [1], ["central"])
    timings = [1.0, 2.0]

    model = fit_cost_model(SHAPE, measured, timings)

    for setting, timing in zip(measured, timings, strict=True):
        assert seconds(model, setting) == pytest.approx(timing, rel=1e-3)
    # Neither timing follows from the other alone.
    assert model.median_relative_error is not None
    assert model.median_relative_error > 0.1


def test_one_arm_is_predicted_but_determines_nothing() -> None:
    setting = Setting(2, 64, "central", 4)

    model = fit_cost_model(SHAPE, [setting], [0.5])

    assert seconds(model, setting) == pytest.approx(0.5, rel=1e-3)
    assert model.median_relative_error is None
    assert not determined(model)
    # The cost is shared among the terms, so a larger batch is not taken to be free.
    assert seconds(model, Setting(16, 64, "central", 4)) > 2 * seconds(model, setting)


@pytest.mark.parametrize(
    ("measured", "lost"),
    [
        (settings_of([1, 2, 4, 8], [32], [1, 8], ["central", "forward"]), "s_per_attention_flop"),
        (settings_of([1, 4], [32, 128], [1], ["central", "forward"]), "s_per_moved_parameter"),
        (settings_of([1], [32, 128], [1, 8], ["central"])[:3], "s_per_flop"),
    ],
    ids=["one length", "one direction at a time", "three arms"],
)
def test_arms_that_do_not_tell_the_terms_apart_are_fitted_but_not_determined(
    measured: list[Setting], lost: str
) -> None:
    model = fit_cost_model(SHAPE, measured, [seconds(COST, each) for each in measured])

    assert lost in model.undetermined
    assert not determined(model)
    for setting in measured:
        assert seconds(model, setting) == pytest.approx(seconds(COST, setting), rel=1e-3)
