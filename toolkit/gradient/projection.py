"""Inner products of many directions with one vector, the same bits on every machine."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exporters.lora.combination import DirectionName, named_direction
from exporters.lora.directions import Distribution
from exporters.lora.support import ParameterLayout, Support
from toolkit.gradient.forward_gradient import Measured, Values

# A sum of up to 2**(53 - bits) products of ±1 with integers below 2**bits is exact in float64.
_EXACT_BITS = 53


class Projector:
    """Projects directions on `vector`, float32 [parameters].

    The vector is rounded to integers times a common unit, of some 2**-30 of its largest element,
    such that sums with Rademacher signs are exact and their order does not matter. With Gaussian
    directions the last bits may differ between machines, as those directions do themselves.
    """

    def __init__(self, vector: Values, layout: ParameterLayout) -> None:
        largest = float(np.max(np.abs(vector), initial=0))
        bits = _EXACT_BITS - max(1, len(vector).bit_length())
        self._layout = layout
        # A power of two, so that dividing by it rounds nothing.
        self._unit = math.ldexp(1.0, math.frexp(largest)[1] - bits) if largest > 0 else 1.0
        self._integers: NDArray[np.float64] = np.rint(vector.astype(np.float64) / self._unit)
        self._starts = np.array([tensor.slice.start for tensor in layout.tensors])

    def whole(self, measured: Measured) -> NDArray[np.float64]:
        """direction · vector, float64 [directions]."""
        return np.array(
            [
                float(
                    np.dot(
                        named_direction(
                            name, self._layout, measured.distribution, measured.support
                        ).astype(np.float64),
                        self._integers,
                    )
                )
                * self._unit
                for name in measured.directions
            ],
            dtype=np.float64,
        )

    def by_tensor(
        self, name: DirectionName, distribution: Distribution, support: Support
    ) -> NDArray[np.float64]:
        """direction · vector within each tensor, float64 [tensors]."""
        whole = named_direction(name, self._layout, distribution, support).astype(np.float64)
        sums: NDArray[np.float64] = np.add.reduceat(whole * self._integers, self._starts)
        return sums * self._unit

    def lengths(
        self, name: DirectionName, distribution: Distribution, support: Support
    ) -> NDArray[np.float64]:
        """The direction's Euclidean norm within each tensor, float64 [tensors]."""
        whole = named_direction(name, self._layout, distribution, support).astype(np.float64)
        return np.sqrt(np.add.reduceat(np.square(whole), self._starts))
