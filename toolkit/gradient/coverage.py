"""How much of a round's probing lies on each tensor, when clients may move different parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from exporters.lora.combination import DirectionName
from exporters.lora.support import ParameterLayout, ParameterTensor, Support


class Probed(Protocol):
    """Probes of one support that count `weight` each."""

    @property
    def directions(self) -> tuple[DirectionName, ...]: ...

    @property
    def support(self) -> Support: ...

    @property
    def weight(self) -> float: ...


@dataclass(frozen=True)
class Coverage:
    """Per distinct support, in order of appearance: Σ weight and Σ weight² over its probes."""

    layout: ParameterLayout
    weights: Mapping[Support, float]
    squares: Mapping[Support, float]

    @classmethod
    def of(cls, probed: Sequence[Probed], layout: ParameterLayout) -> Coverage:
        weights: dict[Support, float] = {}
        squares: dict[Support, float] = {}
        for one in probed:
            probes, weight = len(one.directions), float(one.weight)
            if probes and weight:
                weights[one.support] = weights.get(one.support, 0.0) + probes * weight
                squares[one.support] = squares.get(one.support, 0.0) + probes * weight**2
        return cls(layout, weights, squares)

    def weight(self, tensor: ParameterTensor) -> float:
        """Σ weight over the probes that move the tensor."""
        return sum(value for support, value in self.weights.items() if support.contains(tensor))

    def covers(self, tensor: ParameterTensor) -> bool:
        return any(support.contains(tensor) for support in self.weights)

    @property
    def parameters(self) -> int:
        """How many parameters any probe moves."""
        return sum(_size(tensor) for tensor in self.layout.tensors if self.covers(tensor))

    @property
    def alignment(self) -> float:
        """The cosine, to leading order, that the forward gradient has with the gradient.

        √(N/p) for N equal probes of all p parameters. In general, one over the root of the
        estimate's relative variance, taking the gradient's energy to be spread evenly over the
        covered parameters: a probe of a part sees the slope of that part alone. At most 1; 0
        without probes.
        """
        covered = self.parameters
        if covered == 0:
            return 0.0
        share = {
            support: sum(_size(t) for t in self.layout.tensors if support.contains(t)) / covered
            for support in self.weights
        }
        variance = 0.0
        for tensor in self.layout.tensors:
            weight = self.weight(tensor)
            if weight:
                squares = sum(
                    value * share[support]
                    for support, value in self.squares.items()
                    if support.contains(tensor)
                )
                variance += _size(tensor) * squares / weight**2
        return min(1.0, 1 / math.sqrt(variance))


def _size(tensor: ParameterTensor) -> int:
    return tensor.slice.stop - tensor.slice.start
