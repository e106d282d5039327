"""What a round measured, as a gradient that the server can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exporters.lora.combination import Combination
from exporters.lora.support import ParameterLayout
from toolkit.gradient.coverage import Coverage
from toolkit.gradient.forward_gradient import Measured, Values, combinations
from toolkit.protocol.exact import exact_norm
from toolkit.protocol.update import Overwrite, RoundUpdate


@dataclass(frozen=True)
class Estimate:
    """The probes of a round, and the gradient that was made of them.

    `gradient` float32 [parameters]. `linear`: it is the forward gradient of `measured`, so that
    weighted directions express it; else it exists as a vector alone.
    """

    measured: Sequence[Measured]
    layout: ParameterLayout
    gradient: Values
    linear: bool = True

    @cached_property
    def coverage(self) -> Coverage:
        return Coverage.of(self.measured, self.layout)

    @cached_property
    def gradient_norm(self) -> float:
        return exact_norm(self.gradient)

    def combinations(self, factor: float) -> tuple[Combination, ...]:
        """factor · gradient; only where it is linear."""
        return combinations(self.measured, self.layout, factor)

    def moved(self, values: Values, factor: float) -> RoundUpdate:
        """θ ← θ + factor · gradient, in the smallest form."""
        if self.linear:
            return RoundUpdate(self.combinations(factor))
        return RoundUpdate(overwrites=(Overwrite(0, values + np.float32(factor) * self.gradient),))

    def values_norm(self, values: Values) -> float:
        """‖θ‖ over what is trained: the layers that a probe moves (A and B), and a moved head.

        B starts at zero, so a length that is a share of B's alone would never leave it.
        """
        coverage = self.coverage
        covered = [tensor for tensor in self.layout.tensors if coverage.covers(tensor)]
        layers = {tensor.layer for tensor in covered if tensor.matrix != "head"}
        head = any(tensor.matrix == "head" for tensor in covered)
        trained = np.zeros_like(values)
        for tensor in self.layout.tensors:
            if head if tensor.matrix == "head" else tensor.layer in layers:
                trained[tensor.slice] = values[tensor.slice]
        return exact_norm(trained)
