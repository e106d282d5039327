"""Updates of a classification head whose gradient clients compute exactly.

The head is the last layer: its gradient needs a forward pass and one outer product, no
backpropagation and no probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from exporters.contract import Part
from exporters.lora.support import ParameterLayout
from toolkit.errors import TrainingError
from toolkit.gradient.forward_gradient import Values
from toolkit.protocol.exact import exact_norm
from toolkit.protocol.update import Overwrite
from toolkit.server_update.annealing import Annealing, decay
from toolkit.server_update.memory import ServerMemory
from toolkit.server_update.state import RoundState

_FIRST, _SECOND, _STEPS = "head:first", "head:second", "head:steps"


@dataclass(frozen=True)
class HeadGradient:
    """One client's exact gradient, float32 [head's parameters], and what it counts, above 0."""

    gradient: Values
    weight: float = 1.0


class HeadSgd(Part):
    """SGD on the mean of the clients' gradients."""

    kind: Literal["sgd"] = "sgd"
    rate: PositiveFloat = 0.5
    annealing: Annealing = "linear"


class HeadAdam(Part):
    """Adam on the mean of the clients' gradients (Kingma & Ba, ICLR 2015, Algorithm 1)."""

    kind: Literal["adam"] = "adam"
    rate: PositiveFloat = 0.01
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: PositiveFloat = 1e-8
    annealing: Annealing = "linear"


HeadRule = Annotated[HeadSgd | HeadAdam, Field(discriminator="kind")]


@dataclass(frozen=True)
class HeadPlan:
    """The head's new values, the memory after it, and the Euclidean norms that led to it."""

    overwrite: Overwrite
    memory: ServerMemory
    gradient_norm: float
    step_norm: float


def head_slice(layout: ParameterLayout) -> slice | None:
    """Where the head's parameters lie; None: the layout has no head.

    Raises:
        TrainingError: they do not lie together.
    """
    places = [tensor.slice for tensor in layout.tensors if tensor.matrix == "head"]
    if not places:
        return None
    for before, after in pairwise(places):
        if before.stop != after.start:
            raise TrainingError("the tensors of the classification head do not lie together")
    return slice(places[0].start, places[-1].stop)


def plan_head(
    rule: HeadRule, state: RoundState, gradients: Sequence[HeadGradient], layout: ParameterLayout
) -> HeadPlan | None:
    """The head's update of a round, the same bits on every machine; None without gradients.

    It goes behind the other overwrites of the round's update, and its memory is that of
    `state` with the head's own moments: give it the state with the memory of the round's plan.

    Raises:
        TrainingError: the layout has no head, or a gradient is not of its size.
    """
    if not gradients:
        return None
    place = head_slice(layout)
    if place is None or any(len(g.gradient) != place.stop - place.start for g in gradients):
        raise TrainingError("a gradient of the classification head does not fit the model's head")
    values = state.replica.values[place]
    gradient = mean_head_gradient(gradients)
    rate = rule.rate * decay(rule.annealing, state)
    memory = state.memory
    if isinstance(rule, HeadSgd):
        step = np.float32(rate) * gradient
    else:
        first = memory.arrays.get(_FIRST, np.zeros_like(values))
        second = memory.arrays.get(_SECOND, np.zeros_like(values))
        steps = memory.scalars.get(_STEPS, 0.0) + 1
        first = np.float32(rule.beta1) * first + np.float32(1 - rule.beta1) * gradient
        second = np.float32(rule.beta2) * second + np.float32(1 - rule.beta2) * np.square(gradient)
        memory = memory.with_arrays(**{_FIRST: first, _SECOND: second})
        memory = memory.with_scalars(**{_STEPS: steps})
        root = math.sqrt(1 - rule.beta2**steps)
        length = np.float32(rate * root / (1 - rule.beta1**steps))
        step = length * first / (np.sqrt(second) + np.float32(rule.epsilon * root))
    return HeadPlan(
        overwrite=Overwrite(place.start, values - step),
        memory=memory,
        gradient_norm=exact_norm(gradient),
        step_norm=exact_norm(step),
    )


def mean_head_gradient(gradients: Sequence[HeadGradient]) -> Values:
    """Their weighted mean, float32 [head's parameters]; at least one."""
    total = math.fsum(one.weight for one in gradients)
    mean = np.zeros_like(gradients[0].gradient)
    for one in gradients:
        mean += np.float32(one.weight / total) * one.gradient
    return mean
