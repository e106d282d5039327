"""What a memory is worth when the gradient turns slowly: alignment over many rounds.

The gradient is a random walk on a sphere that keeps a share r of itself in each round. Every client
sees it with noise of its own batch, as strong as the gradient itself unless a test says otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from toy_problem import cosine, fleet_answers, lora_layout, slopes_along

from toolkit.protocol.order import Along
from toolkit.protocol.update import ReplicaState
from toolkit.server_update.guided import GuidedStep
from toolkit.server_update.memory import ServerMemory
from toolkit.server_update.momentum import MomentumStep
from toolkit.server_update.rules import plan
from toolkit.server_update.state import RoundState
from toolkit.server_update.trust_ratio import TrustRatioStep

LAYOUT = lora_layout(4, 100)
P = LAYOUT.parameters
ROUNDS, CLIENTS, PROBES = 120, 8, 2


def unit(vector):
    return vector / np.linalg.norm(vector)


def mean_alignment(rule, *, noise, keeps=0.99):
    """cos(Δθ, −g) over the second half of a run."""
    generator = np.random.default_rng(11)
    gradient = unit(generator.normal(size=P))
    replica = ReplicaState(generator.normal(size=P).astype(np.float32))
    alignments = []
    for number in range(1, ROUNDS + 1):
        turned = unit(generator.normal(size=P))
        gradient = unit(keeps * gradient + np.sqrt(1 - keeps**2) * turned)
        batches = [
            (gradient + noise * unit(generator.normal(size=P))).astype(np.float32)
            for _ in range(CLIENTS)
        ]
        guide = []
        if rule.wants_guide and replica.memory is not None:
            guide = slopes_along(Along(1.0, ()), batches, replica, LAYOUT)
        measured = fleet_answers(batches, LAYOUT, probes=PROBES, stream=number)
        planned = plan(rule, RoundState(number, ROUNDS, replica), measured, LAYOUT, guide)
        before, replica = replica, replica.after(planned.update, LAYOUT)
        if number > ROUNDS // 2:
            alignments.append(cosine(before.values - replica.values, gradient))
    return float(np.mean(alignments))


@pytest.fixture(scope="module")
def plain():
    return {noise: mean_alignment(TrustRatioStep(), noise=noise) for noise in (0.0, 1.0)}


def test_plain_steps_are_aligned_as_theory_says(plain):
    share = CLIENTS * PROBES / P
    assert plain[0.0] == pytest.approx(np.sqrt(share / (1 + share)), rel=0.1)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_momentum_beats_plain_steps(plain, noise):
    rule = MomentumStep(keep=0.9, control_variate=False)
    assert mean_alignment(rule, noise=noise) > 2 * plain[noise]


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_guide_beats_plain_steps(plain, noise):
    assert mean_alignment(GuidedStep(), noise=noise) > 2 * plain[noise]


def test_a_guide_beats_momentum_where_batches_are_quiet():
    momentum = mean_alignment(MomentumStep(keep=0.9), noise=0.0)
    assert mean_alignment(GuidedStep(), noise=0.0) > 1.1 * momentum


def test_the_control_variate_helps_where_the_gradient_hardly_turns():
    without, with_variate = (
        mean_alignment(MomentumStep(keep=0.95, control_variate=on), noise=0.0, keeps=0.999)
        for on in (False, True)
    )
    assert with_variate > 1.1 * without


# How far to go.


def loss_left(rule, *, scale=1.0, noise=1.0, rounds=100):
    """The share of the loss that is left of a quadratic bowl of unequal curvatures.

    `scale` is ‖θ‖ over the distance to the minimum, which a step that is a share of ‖θ‖ cannot
    know.
    """
    generator = np.random.default_rng(3)
    curvature = generator.permutation(1 / np.arange(1, P + 1))
    values = generator.normal(size=P).astype(np.float32)
    minimum = values + 0.5 / scale * generator.normal(size=P)

    def loss(at):
        return float(curvature @ np.square(at - minimum))

    replica, memory, first = ReplicaState(values), ServerMemory(), loss(values)
    for number in range(1, rounds + 1):
        gradient = curvature * (replica.values - minimum)
        spread = noise * np.linalg.norm(gradient)
        batches = [
            (gradient + spread * unit(generator.normal(size=P))).astype(np.float32)
            for _ in range(CLIENTS)
        ]
        guide = []
        if rule.wants_guide and replica.memory is not None:
            guide = slopes_along(Along(1.0, ()), batches, replica, LAYOUT)
        measured = fleet_answers(batches, LAYOUT, probes=PROBES, stream=number)
        state = RoundState(number, rounds, replica, memory)
        planned = plan(rule, state, measured, LAYOUT, guide)
        replica, memory = replica.after(planned.update, LAYOUT), planned.memory
    return loss(replica.values) / first


@pytest.mark.parametrize("scale", [0.2, 1, 20])
def test_measured_steps_find_their_length_whatever_the_scale(scale):
    assert loss_left(GuidedStep(), scale=scale) < 0.35


def test_a_usual_step_is_too_long_where_the_minimum_is_near():
    """What the measured length saves from: the loss grows, over a hundredfold."""
    assert loss_left(TrustRatioStep(), scale=20) > 100
