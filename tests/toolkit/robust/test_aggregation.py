"""A fifth of the clients lie, and the gradient still points where the others say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter
from toy_problem import cosine, fleet_answers, lora_layout, measure

from exporters.lora.directions import draw_seeds
from exporters.lora.support import Support
from toolkit.gradient.forward_gradient import forward_gradient
from toolkit.protocol.update import ReplicaState
from toolkit.robust.aggregation import (
    Aggregation,
    ClippedMean,
    Mean,
    MedianOfMeans,
    TrimmedMean,
)
from toolkit.server_update.rules import plan
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.state import RoundState

LAYOUT = lora_layout(2, 100)
P = LAYOUT.parameters
CLIENTS, HOSTILE, PROBES = 100, 20, 4
ROBUST = [ClippedMean(), TrimmedMean(), MedianOfMeans()]


def gradients(seed=0):
    """The common gradient, and each client's own: non-IID noise as strong as it."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=P).astype(np.float32)
    return common, [(common + rng.normal(size=P)).astype(np.float32) for _ in range(CLIENTS)]


@pytest.fixture(scope="module")
def fleet():
    common, own = gradients()
    answers = fleet_answers(own, LAYOUT, probes=PROBES, stream=1)
    honest = cosine(Mean().estimate(answers[HOSTILE:], LAYOUT).gradient, common)
    return common, answers, honest


def attacked(answers, factor):
    """The first clients send their slopes times a factor; the others the truth."""
    liars = [replace(one, slopes=np.float32(factor) * one.slopes) for one in answers[:HOSTILE]]
    return [*liars, *answers[HOSTILE:]]


@pytest.mark.parametrize("rule", ROBUST, ids=lambda rule: rule.kind)
def test_without_liars_little_is_lost(fleet, rule):
    common, answers, honest = fleet
    assert cosine(rule.estimate(answers, LAYOUT).gradient, common) > 0.85 * honest


def test_huge_flipped_slopes_ruin_the_mean(fleet):
    common, answers, _ = fleet
    assert cosine(Mean().estimate(attacked(answers, -1000), LAYOUT).gradient, common) < 0


@pytest.mark.parametrize("factor", [-1, -3, -1000, 1e30])
@pytest.mark.parametrize("rule", ROBUST, ids=lambda rule: rule.kind)
def test_a_fifth_of_liars_cannot_turn_a_robust_mean(fleet, rule, factor):
    """The honest four fifths alone have the alignment `honest`."""
    common, answers, honest = fleet
    estimate = rule.estimate(attacked(answers, factor), LAYOUT).gradient
    assert np.isfinite(estimate).all()
    assert cosine(estimate, common) > 0.5 * honest
    assert np.linalg.norm(estimate) < 5 * np.linalg.norm(common)


@pytest.mark.parametrize("rule", ROBUST, ids=lambda rule: rule.kind)
def test_liars_cannot_agree_on_a_direction_of_their_own(fleet, rule):
    """Colluding liars report the slopes of a gradient of their choice, 1,000 times as long."""
    common, answers, honest = fleet
    target = -1000 * common
    liars = [measure(target, one.directions, LAYOUT, one.client) for one in answers[:HOSTILE]]
    estimate = rule.estimate([*liars, *answers[HOSTILE:]], LAYOUT).gradient
    assert cosine(estimate, common) > 0.5 * honest


@pytest.mark.parametrize("rule", [TrimmedMean(), MedianOfMeans()], ids=lambda rule: rule.kind)
def test_many_answers_of_one_client_are_one_vote(fleet, rule):
    _, answers, _ = fleet
    seeds = draw_seeds(9, 1, 200)
    liar = [
        replace(measure(np.full(P, -9, np.float32), seeds[i : i + 4], LAYOUT), client="liar")
        for i in range(0, 200, 4)
    ]
    with_liar = rule.estimate([*answers[:40], *liar], LAYOUT).gradient
    without = rule.estimate(answers[:40], LAYOUT).gradient
    assert cosine(with_liar, without) > 0.9


@pytest.mark.parametrize("rule", [TrimmedMean(), MedianOfMeans()], ids=lambda rule: rule.kind)
def test_equal_votes_are_their_mean(rule):
    one = measure(np.ones(P, np.float32), draw_seeds(1, 1, 5), LAYOUT)
    votes = [replace(one, client=f"phone-{i}") for i in range(7)]
    estimate = rule.estimate(votes, LAYOUT)
    np.testing.assert_allclose(estimate.gradient, forward_gradient([one], LAYOUT), atol=1e-5)
    assert not estimate.linear


def test_the_trimmed_mean_is_that_of_numpy():
    answers = fleet_answers(gradients()[1][:10], LAYOUT, probes=2, stream=1)
    votes = np.sort([forward_gradient([one], LAYOUT) for one in answers], axis=0)
    estimate = TrimmedMean(hostile=0.25).estimate(answers, LAYOUT).gradient
    np.testing.assert_allclose(estimate, votes[3:7].mean(axis=0), atol=1e-5)


def test_the_median_of_means_is_that_of_numpy():
    answers = fleet_answers(gradients()[1][:10], LAYOUT, probes=2, stream=1)
    votes = [forward_gradient([one], LAYOUT) for one in answers]
    means = [np.mean(votes[group::5], axis=0) for group in range(5)]
    estimate = MedianOfMeans(group=2).estimate(answers, LAYOUT).gradient
    np.testing.assert_allclose(estimate, np.median(means, axis=0), atol=1e-5)


def test_clients_vote_on_what_they_move():
    own = gradients()[1]
    top, bottom = Support(layers=(1, 1)), Support(layers=(0, 0))
    answers = [
        measure(own[i], draw_seeds(2, i + 1, 4), LAYOUT, f"p{i}", top if i % 2 else bottom)
        for i in range(40)
    ]
    lower = TrimmedMean().estimate(answers[::2], LAYOUT).gradient
    both = TrimmedMean().estimate(answers, LAYOUT).gradient
    assert (both[: P // 2] == lower[: P // 2]).all()
    assert both[P // 2 :].any()
    assert not lower[P // 2 :].any()


def test_a_robust_update_is_an_overwrite_and_a_clipped_one_is_not(fleet):
    _, answers, _ = fleet
    values = np.ones(P, dtype=np.float32)
    state = RoundState(1, 1, ReplicaState(values))
    trimmed = plan(SgdStep(rate=0.5), state, answers, LAYOUT, aggregation=TrimmedMean())
    expected = values - np.float32(0.5) * TrimmedMean().estimate(answers, LAYOUT).gradient
    assert (state.replica.after(trimmed.update, LAYOUT).values == expected).all()
    clipped = plan(SgdStep(), state, answers, LAYOUT, aggregation=ClippedMean())
    assert not clipped.update.overwrites


@pytest.mark.parametrize("rule", ROBUST, ids=lambda rule: rule.kind)
def test_one_liar_cannot_decide_a_slope_along_the_guide(rule):
    slopes = rule.scalars([1.0, 1.1, 0.9, 1.0, 1e6])
    assert 0.8 < sum(slopes) / len(slopes) < 2


@pytest.mark.parametrize("rule", [Mean(), *ROBUST], ids=lambda rule: rule.kind)
def test_nothing_to_aggregate_is_no_gradient(rule):
    assert not rule.estimate([], LAYOUT).gradient.any()
    assert rule.scalars([]) == []


@pytest.mark.parametrize("rule", [Mean(), *ROBUST], ids=lambda rule: rule.kind)
def test_a_rule_survives_its_file(rule):
    adapter: TypeAdapter[Aggregation] = TypeAdapter(Aggregation)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule
