"""A gradient that is known, and clients that measure exact slopes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporters.lora.combination import DirectionName, named_direction
from exporters.lora.directions import Distribution, draw_seeds
from exporters.lora.support import EVERYTHING, Matrix, ParameterLayout, Support
from toolkit.gradient.forward_gradient import Measured, Values
from toolkit.protocol.along import along_direction
from toolkit.protocol.order import Along
from toolkit.protocol.update import ReplicaState


@dataclass(frozen=True)
class ToyTensor:
    layer: int
    matrix: Matrix
    slice: slice


@dataclass(frozen=True)
class ToyLayout:
    tensors: tuple[ToyTensor, ...]

    @property
    def parameters(self) -> int:
        return self.tensors[-1].slice.stop


def toy_layout(*tensors: tuple[int, Matrix, int]) -> ToyLayout:
    """From (layer, matrix, parameters) of each tensor."""
    built, start = [], 0
    for layer, matrix, size in tensors:
        built.append(ToyTensor(layer, matrix, slice(start, start + size)))
        start += size
    return ToyLayout(tuple(built))


def lora_layout(layers: int, size: int, head: int = 0) -> ToyLayout:
    """An A and a B of `size` parameters in each layer, and a head behind them."""
    matrices: tuple[Matrix, ...] = ("A", "B")
    tensors = [(layer, matrix, size) for layer in range(layers) for matrix in matrices]
    return toy_layout(*tensors, *([(layers, "head", head)] if head else []))


def measure(
    gradient: Values,
    directions: Sequence[DirectionName],
    layout: ParameterLayout,
    client: str = "phone",
    support: Support = EVERYTHING,
    distribution: Distribution = "rademacher",
    weight: float = 1.0,
) -> Measured:
    """What a client whose batch has this gradient would answer."""
    slopes = [
        np.dot(gradient.astype(np.float64), named_direction(name, layout, distribution, support))
        for name in directions
    ]
    return Measured(
        client=client,
        directions=tuple(directions),
        distribution=distribution,
        support=support,
        slopes=np.array(slopes, dtype=np.float32),
        weight=weight,
    )


def fleet_answers(
    gradients: Sequence[Values], layout: ParameterLayout, *, probes: int, stream: int, seed: int = 5
) -> list[Measured]:
    """One answer of `probes` slopes from each of the clients with these batch gradients."""
    seeds = draw_seeds(seed, stream, probes * len(gradients))
    return [
        measure(gradient, seeds[i * probes : (i + 1) * probes], layout, f"phone-{i}")
        for i, gradient in enumerate(gradients)
    ]


def slopes_along(
    along: Along, gradients: Sequence[Values], state: ReplicaState, layout: ParameterLayout
) -> list[float]:
    """What clients with these batch gradients would answer to `along`."""
    direction = along_direction(along, state, layout).astype(np.float64)
    return [float(direction @ gradient) for gradient in gradients]


def cosine(left: Values, right: Values) -> float:
    left, right = left.astype(np.float64), right.astype(np.float64)
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))
