"""Which parameters a direction moves; it is zero elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from exporters.contract import Part

Matrix = Literal["A", "B", "head"]


class ParameterTensor(Protocol):
    """A named part of a flat parameter vector."""

    @property
    def layer(self) -> int: ...

    @property
    def matrix(self) -> Matrix: ...

    @property
    def slice(self) -> slice: ...


class ParameterLayout(Protocol):
    """The tensors of a flat parameter vector, contiguous and in order."""

    @property
    def parameters(self) -> int: ...

    @property
    def tensors(self) -> Sequence[ParameterTensor]: ...


class Support(Part):
    """The parameters that move: those of a range of layers, and of A and B or of B alone.

    `layers` is inclusive and counted from 0; None: all. `head` says whether a classification head
    moves too, where the layout has one.
    """

    layers: tuple[NonNegativeInt, NonNegativeInt] | None = None
    matrices: Literal["AB", "B"] = "AB"
    head: bool = True

    def contains(self, tensor: ParameterTensor) -> bool:
        if tensor.matrix == "head":
            return self.head
        in_layers = self.layers is None or self.layers[0] <= tensor.layer <= self.layers[1]
        return in_layers and tensor.matrix in self.matrices

    def mask(self, layout: ParameterLayout) -> NDArray[np.bool_]:
        """True where parameters move, bool [parameters]."""
        mask = np.zeros(layout.parameters, dtype=np.bool_)
        for tensor in layout.tensors:
            mask[tensor.slice] = self.contains(tensor)
        return mask

    def ranges(self, layout: ParameterLayout) -> list[tuple[int, int]]:
        """The parameters that move as (start, stop), ascending, neighbours joined."""
        ranges: list[tuple[int, int]] = []
        for tensor in filter(self.contains, layout.tensors):
            start, stop = tensor.slice.start, tensor.slice.stop
            if ranges and ranges[-1][1] == start:
                start = ranges.pop()[0]
            ranges.append((start, stop))
        return ranges


EVERYTHING = Support()
