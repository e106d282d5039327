"""Named directions and weighted sums of them over a flat parameter vector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from exporters.contract import Part
from exporters.lora.directions import (
    SEED_LIMIT,
    Distribution,
    add_direction,
    direction_range,
)
from exporters.lora.support import EVERYTHING, ParameterLayout, Support

Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
# A seed names a direction over the whole vector. One seed per tensor of the layout names the
# direction whose piece in each tensor is that of the tensor's own seed.
DirectionName = Seed | tuple[Seed, ...]


class Combination(Part):
    """Σ coefficient · direction over pairs, all of one distribution and support.

    The native runners add a combination likewise (`parameter_matrix.h` in
    `android_harness/runner/src/common`). Rademacher ones come out equal bit for bit on every
    platform, Gaussian ones within 1e-6 per unit of coefficient, since they go through the
    platform's libm.
    """

    distribution: Distribution = "rademacher"
    support: Support = EVERYTHING
    pairs: tuple[tuple[DirectionName, float], ...]

    def add_to(self, values: NDArray[np.float32], layout: ParameterLayout) -> None:
        """values += coefficient · direction for each pair in order, in float32, in place.

        Parameters outside the support are left alone, bit for bit.

        Raises:
            ValueError: a name has another number of seeds than the layout has tensors.
        """
        pieces = _Pieces(layout, self.support)
        for name, coefficient in self.pairs:
            for seed, start, stop in pieces.of(name):
                add_direction(
                    values[start:stop],
                    seed,
                    coefficient,
                    start=start,
                    distribution=self.distribution,
                )


def named_direction(
    name: DirectionName,
    layout: ParameterLayout,
    distribution: Distribution = "rademacher",
    support: Support = EVERYTHING,
) -> NDArray[np.float32]:
    """The direction, float32 [parameters], zero outside the support.

    Raises:
        ValueError: the name has another number of seeds than the layout has tensors.
    """
    whole = np.zeros(layout.parameters, dtype=np.float32)
    for seed, start, stop in _Pieces(layout, support).of(name):
        whole[start:stop] = direction_range(seed, start, stop, distribution)
    return whole


class _Pieces:
    """Which seed makes which parameters of a direction."""

    def __init__(self, layout: ParameterLayout, support: Support) -> None:
        self._layout = layout
        self._support = support
        self._ranges = support.ranges(layout)

    def of(self, name: DirectionName) -> Iterator[tuple[int, int, int]]:
        """(seed, start, stop) of every piece that moves, ascending."""
        if isinstance(name, int):
            yield from ((name, start, stop) for start, stop in self._ranges)
            return
        tensors = self._layout.tensors
        if len(name) != len(tensors):
            raise ValueError(f"a direction names {len(name)} seeds for {len(tensors)} tensors")
        for seed, tensor in zip(name, tensors, strict=True):
            if self._support.contains(tensor):
                yield seed, tensor.slice.start, tensor.slice.stop
