"""The head follows the mean of exact gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_problem import lora_layout, toy_layout

from toolkit.errors import TrainingError
from toolkit.protocol.update import ReplicaState, RoundUpdate
from toolkit.server_update.head import HeadAdam, HeadGradient, HeadSgd, head_slice, plan_head
from toolkit.server_update.memory import ServerMemory
from toolkit.server_update.state import RoundState

LAYOUT = toy_layout((0, "A", 6), (0, "B", 4), (1, "head", 5), (1, "head", 2))


def gradient(seed):
    return np.random.default_rng(seed).normal(size=7).astype(np.float32)


def test_the_head_lies_behind_the_layers():
    assert head_slice(LAYOUT) == slice(10, 17)
    assert head_slice(lora_layout(1, 3)) is None
    with pytest.raises(TrainingError, match="together"):
        head_slice(toy_layout((0, "head", 2), (0, "A", 2), (0, "head", 2)))


def test_sgd_moves_the_head_alone_by_the_weighted_mean():
    values = np.ones(17, dtype=np.float32)
    gradients = [HeadGradient(gradient(1), 3.0), HeadGradient(gradient(2), 1.0)]
    state = RoundState(3, 4, ReplicaState(values))
    planned = plan_head(HeadSgd(rate=0.5), state, gradients, LAYOUT)
    after = state.replica.after(RoundUpdate(overwrites=(planned.overwrite,)), LAYOUT).values
    step = 0.25 * (0.75 * gradient(1) + 0.25 * gradient(2))
    np.testing.assert_allclose(after[10:], 1 - step, rtol=0, atol=1e-6)
    assert (after[:10] == 1).all()
    assert planned.step_norm == pytest.approx(np.linalg.norm(step), rel=1e-5)


def test_adam_takes_the_steps_of_torch():
    values = np.zeros(17, dtype=np.float32)
    parameter = torch.zeros(7, requires_grad=True)
    optimizer = torch.optim.Adam([parameter], lr=0.1, eps=1e-3)
    rule, memory = HeadAdam(rate=0.1, epsilon=1e-3, annealing="none"), ServerMemory()
    for number in range(1, 6):
        state = RoundState(number, 5, ReplicaState(values), memory)
        planned = plan_head(rule, state, [HeadGradient(gradient(number))], LAYOUT)
        memory = planned.memory
        values = state.replica.after(RoundUpdate(overwrites=(planned.overwrite,)), LAYOUT).values
        parameter.grad = torch.from_numpy(gradient(number))
        optimizer.step()
        np.testing.assert_allclose(values[10:], parameter.detach().numpy(), rtol=0, atol=1e-5)


def test_without_gradients_the_head_stays():
    assert plan_head(HeadSgd(), RoundState(1, 1, ReplicaState(np.ones(17))), [], LAYOUT) is None


@pytest.mark.parametrize("layout", [LAYOUT, lora_layout(2, 4)])
def test_a_gradient_that_does_not_fit_is_refused(layout):
    state = RoundState(1, 1, ReplicaState(np.ones(17, dtype=np.float32)))
    with pytest.raises(TrainingError, match="does not fit"):
        plan_head(HeadSgd(), state, [HeadGradient(gradient(1)[:5])], layout)
