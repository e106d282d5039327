"""Each rule's update is the formula that it states, and replicas make the same of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from toy_problem import lora_layout, measure, slopes_along

from exporters.lora.combination import named_direction
from exporters.lora.directions import draw_seeds
from exporters.lora.support import Support
from toolkit.errors import TrainingError
from toolkit.gradient.forward_gradient import forward_gradient
from toolkit.protocol.exact import exact_norm
from toolkit.protocol.order import Along
from toolkit.protocol.update import ReplicaState
from toolkit.robust.aggregation import TrimmedMean
from toolkit.server_update.guided import GuidedStep
from toolkit.server_update.memory import GRADIENT, ServerMemory
from toolkit.server_update.momentum import MomentumStep
from toolkit.server_update.rules import UpdateRule, plan
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.state import RoundState
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.server_update.yogi import YogiStep

LAYOUT = lora_layout(2, 40)
P = LAYOUT.parameters
RULES = [SgdStep(), TrustRatioStep(), MomentumStep(), GuidedStep(), YogiStep()]


def random_vector(seed, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=P)).astype(np.float32)


def state(number=1, rounds=4, values=None, memory=None, server=None):
    values = random_vector(0) if values is None else values
    return RoundState(number, rounds, ReplicaState(values, memory), server or ServerMemory())


def answers(stream=1, probes=16, gradient=None, **more):
    gradient = random_vector(1) if gradient is None else gradient
    return [measure(gradient, draw_seeds(3, stream, probes), LAYOUT, **more)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_the_step_norm_is_the_length_of_the_update(rule):
    before = state(memory=random_vector(9))
    planned = plan(rule, before, answers(), LAYOUT, guide_slopes=[0.4, 0.6, 0.5])
    after = before.replica.after(planned.update, LAYOUT)
    moved = exact_norm(after.values - before.replica.values)
    assert moved == pytest.approx(planned.step_norm, rel=1e-4)
    assert planned.step_ratio == planned.step_norm / planned.values_norm
    assert planned.gradient_norm == exact_norm(forward_gradient(answers(), LAYOUT))
    assert (planned.memory.arrays[GRADIENT] == forward_gradient(answers(), LAYOUT)).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_the_first_step_goes_downhill(rule):
    before = state()
    planned = plan(rule, before, answers(probes=400), LAYOUT)
    after = before.replica.after(planned.update, LAYOUT)
    assert (after.values - before.replica.values) @ random_vector(1) < 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_without_slopes_nothing_moves(rule):
    flat = np.zeros(P, dtype=np.float32)
    for measured in ([], answers(gradient=flat)):
        planned = plan(rule, state(), measured, LAYOUT)
        after = state().replica.after(planned.update, LAYOUT)
        assert (after.values == state().replica.values).all()
        assert planned.step_norm == 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_rule_survives_its_file(rule):
    adapter: TypeAdapter[UpdateRule] = TypeAdapter(UpdateRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule


# SGD and the trust ratio.


def test_sgd_moves_by_its_annealed_rate():
    gradient = forward_gradient(answers(), LAYOUT)
    for number, rate in enumerate([0.4, 0.3, 0.2, 0.1], start=1):
        planned = plan(SgdStep(rate=0.4), state(number), answers(), LAYOUT)
        after = state().replica.after(planned.update, LAYOUT)
        expected = state().replica.values - rate * gradient
        np.testing.assert_allclose(after.values, expected, rtol=0, atol=1e-5)


@given(st.integers(1, 20), st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_trust_ratio_step_is_a_share_of_the_values_norm(number, values, gradient):
    before = state(number, 20, values=random_vector(0, values))
    measured = answers(gradient=random_vector(1, gradient), probes=2)
    planned = plan(TrustRatioStep(ratio=0.1), before, measured, LAYOUT)
    assert planned.step_ratio == pytest.approx(0.1 * (1 - (number - 1) / 20))


def test_the_usual_step_grows_with_the_root_of_the_probes():
    few, many = (plan(TrustRatioStep(), state(), answers(probes=n), LAYOUT) for n in (1, 4))
    assert many.step_ratio == pytest.approx(2 * few.step_ratio)


@pytest.mark.parametrize("annealing", ["linear", "none"])
def test_the_usual_steps_of_a_long_run_cannot_stretch_the_values_beyond_two(annealing):
    rule = TrustRatioStep(annealing=annealing)
    squares = sum(
        plan(rule, state(number, 1000), answers(probes=2), LAYOUT).step_ratio ** 2
        for number in range(1, 1001)
    )
    assert np.exp(squares / 2) == pytest.approx(2.0, rel=0.01)


def test_the_share_is_of_the_layers_that_are_trained():
    """Moving B alone, which begins at zero, still takes steps; other layers do not count."""
    values = random_vector(0)
    values[LAYOUT.tensors[3].slice] = 0
    support = Support(layers=(1, 1), matrices="B")
    planned = plan(
        TrustRatioStep(ratio=0.1), state(values=values), answers(support=support), LAYOUT
    )
    assert planned.values_norm == exact_norm(values[LAYOUT.tensors[2].slice])
    assert planned.step_ratio == pytest.approx(0.1)


# Momentum.


def test_momentum_averages_forward_gradients():
    rule = MomentumStep(keep=0.8, control_variate=False, ratio=0.1, annealing="none")
    replica, expected = state().replica, np.zeros(P)
    for number in range(1, 5):
        planned = plan(rule, RoundState(number, 4, replica), answers(number), LAYOUT)
        before, replica = replica, replica.after(planned.update, LAYOUT)
        expected = 0.8 * expected + 0.2 * forward_gradient(answers(number), LAYOUT)
        np.testing.assert_allclose(replica.memory, expected, rtol=0, atol=1e-5)
        step = -0.1 * exact_norm(before.values) * expected / np.linalg.norm(expected)
        np.testing.assert_allclose(replica.values - before.values, step, rtol=0, atol=1e-5)


def spread_of_the_next_memory(rule, memory, gradient, trials=300):
    """(mean, variance summed over elements) of m after one round, over draws of directions."""
    after = []
    for trial in range(1, trials + 1):
        planned = plan(rule, state(2, memory=memory), answers(trial, 16, gradient), LAYOUT)
        after.append(state(memory=memory).replica.after(planned.update, LAYOUT).memory)
    return np.mean(after, axis=0), float(np.var(after, axis=0, ddof=1).sum())


def test_the_control_variate_keeps_the_mean_and_shrinks_the_variance():
    gradient = random_vector(1)
    near = gradient + random_vector(2, 0.3)
    plain, with_variate = (MomentumStep(keep=0.5, control_variate=on) for on in (False, True))
    mean, noisy = spread_of_the_next_memory(plain, near, gradient)
    same, quiet = spread_of_the_next_memory(with_variate, near, gradient)
    assert quiet < 0.2 * noisy
    error = np.sqrt(noisy / P / 300)
    assert np.abs(mean - (near + gradient) / 2).max() < 5 * error
    assert np.abs(same - (near + gradient) / 2).max() < 5 * error


def test_the_control_variate_of_a_useless_memory_does_little_harm():
    gradient = random_vector(1)
    useless = random_vector(2)
    useless -= gradient * (useless @ gradient / (gradient @ gradient))
    plain, with_variate = (MomentumStep(keep=0.5, control_variate=on) for on in (False, True))
    _, without = spread_of_the_next_memory(plain, useless, gradient)
    _, variance = spread_of_the_next_memory(with_variate, useless, gradient)
    assert variance < 1.1 * without


def test_momentum_of_a_robust_aggregation_stays_on_the_server():
    rule = MomentumStep(ratio=0.1)
    first = plan(rule, state(), answers(1), LAYOUT, aggregation=TrimmedMean())
    assert first.update.momentum is None
    replica = state().replica.after(first.update, LAYOUT)
    second = plan(
        rule,
        RoundState(2, 4, replica, first.memory),
        answers(2),
        LAYOUT,
        aggregation=TrimmedMean(),
    )
    gradients = [forward_gradient(answers(stream), LAYOUT) for stream in (1, 2)]
    average = 0.9 * 0.1 * gradients[0] + 0.1 * gradients[1]
    np.testing.assert_allclose(second.memory.arrays["momentum"], average, rtol=0, atol=1e-5)


# Guided.


def guided(gradients, memory, probes=16, stream=1):
    before = state(2, memory=memory)
    guide = slopes_along(Along(1.0, ()), gradients, before.replica, LAYOUT)
    measured = answers(stream, probes, np.mean(gradients, axis=0).astype(np.float32))
    planned = plan(GuidedStep(), before, measured, LAYOUT, guide)
    return before.replica.after(planned.update, LAYOUT).memory, measured


def test_guided_takes_the_measured_part_along_the_memory_and_a_shrunk_rest():
    gradient, memory = random_vector(1), random_vector(2)
    after, (probes,) = guided([gradient], memory)
    unit = memory.astype(np.float64) / np.linalg.norm(memory)
    part = unit * (gradient @ unit)
    rest = np.zeros(P)
    for name in probes.directions:
        direction = named_direction(name, LAYOUT).astype(np.float64)
        across = direction - unit * (direction @ unit)
        rest += ((gradient - part) @ direction) * across
    np.testing.assert_allclose(after, part + rest / (P + 16), rtol=0, atol=1e-5)


def test_guided_learns_less_from_noisier_batches():
    gradient, memory = random_vector(1), random_vector(2)
    quiet, _ = guided([gradient] * 8, memory)
    noisy, _ = guided([gradient + random_vector(10 + i, 3) for i in range(8)], memory)
    unit = memory / np.linalg.norm(memory)

    def across(vector):
        return np.linalg.norm(vector - unit * (vector @ unit))

    assert across(noisy) < 0.6 * across(quiet)


def test_guided_turns_a_memory_that_points_the_wrong_way():
    gradient = random_vector(1)
    after, _ = guided([gradient], -gradient)
    np.testing.assert_allclose(after, gradient, rtol=0, atol=1e-4)


def test_guided_goes_on_when_nobody_measured_the_guide():
    memory = random_vector(1)
    planned = plan(GuidedStep(), state(2, memory=memory), answers(), LAYOUT)
    after = state(memory=memory).replica.after(planned.update, LAYOUT).memory
    shrink = 16 / (P + 16)
    expected = (1 - shrink) * memory + shrink * forward_gradient(answers(), LAYOUT)
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("left", "factor"), [(0.3, 1.0), (1.0, 1.35), (5.0, 1.5), (0.0, 0.85), (-9.0, 0.5)]
)
def test_guided_adapts_its_ratio_to_the_slope_that_a_step_left(left, factor):
    """`left` is the share of the slope along m that is there after the step along it."""
    first = plan(GuidedStep(annealing="none"), state(), answers(1), LAYOUT)
    usual = plan(TrustRatioStep(annealing="none"), state(), answers(1), LAYOUT)
    assert first.step_ratio == pytest.approx(0.1 * usual.step_ratio)
    replica = state().replica.after(first.update, LAYOUT)
    slope = left * exact_norm(replica.memory) * np.sqrt(P)
    then = RoundState(2, 4, replica, first.memory)
    second = plan(GuidedStep(annealing="none"), then, answers(2), LAYOUT, [slope, slope])
    assert second.step_ratio == pytest.approx(factor * first.step_ratio)


def test_guided_with_a_ratio_of_its_own_anneals_it():
    ratios = []
    replica, memory = state().replica, ServerMemory()
    for number in (1, 2):
        now = RoundState(number, 4, replica, memory)
        planned = plan(GuidedStep(ratio=0.2), now, answers(number), LAYOUT, [1.0] * (number - 1))
        replica, memory = replica.after(planned.update, LAYOUT), planned.memory
        ratios.append(planned.step_ratio)
    assert ratios == pytest.approx([0.2, 0.15])


def test_guided_refuses_an_aggregation_that_replicas_cannot_express():
    with pytest.raises(TrainingError, match="weighted sum"):
        plan(GuidedStep(), state(), answers(), LAYOUT, aggregation=TrimmedMean())


# Yogi.


def test_yogi_follows_the_published_recursion():
    rule = YogiStep(rate=0.1, beta1=0.9, beta2=0.99, tau=1e-3, annealing="none")
    values = state().replica.values
    memory, expected = ServerMemory(), values.astype(np.float64)
    first, second = np.zeros(P), np.full(P, 1e-6)
    for number in range(1, 5):
        planned = plan(rule, state(number, values=values, server=memory), answers(number), LAYOUT)
        memory = planned.memory
        values = ReplicaState(values).after(planned.update, LAYOUT).values
        delta = -forward_gradient(answers(number), LAYOUT).astype(np.float64)
        first = 0.9 * first + 0.1 * delta
        second = second - 0.01 * delta**2 * np.sign(second - delta**2)
        expected = expected + 0.1 * first / (np.sqrt(second) + 1e-3)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4)
