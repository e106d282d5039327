"""The order of an encoder's trainable parameters in one flat vector.

LoRA first: by layer, then by module in the order in which the layer defines its linear modules,
then A before B. The classification head comes last: its weight, then its bias. Every tensor is
row-major. Causal models use `exporters.lora.layout.LoraLayout`, the native runner's order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from exporters.contract import Part
from exporters.lora.support import Matrix


class AdaptedTensor(Part):
    """One trainable tensor inside the flat vector; `offset` counts parameters.

    A is [rank, inputs], B is [outputs, rank]; the head's weight is [classes, features] and its
    bias [classes]. `module` is the linear module's name inside its layer, e.g.
    `attention.self.query`. The head's `layer` is the number of layers.
    """

    layer: int
    module: str
    matrix: Matrix
    shape: tuple[int, ...]
    offset: int

    @property
    def name(self) -> str:
        return self.module if self.matrix == "head" else f"{self.layer}.{self.module}.{self.matrix}"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)


class AdaptedLayout(Part):
    """The ordered tensors, with the scaling `alpha / rank` that multiplies B·A."""

    rank: int
    alpha: float
    tensors: tuple[AdaptedTensor, ...]

    @property
    def parameters(self) -> int:
        """The length of the flat vector."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def head(self) -> slice:
        """The part of the flat vector that is the classification head."""
        weight, bias = self.tensors[-2:]
        return slice(weight.offset, bias.offset + bias.size)


def adapted_layout(
    modules: Sequence[tuple[int, str, int, int]],
    *,
    rank: int,
    alpha: float,
    layers: int,
    features: int,
    classes: int,
) -> AdaptedLayout:
    """The layout of LoRA on `modules`, each (layer, module, inputs, outputs), and of a head."""
    tensors: list[AdaptedTensor] = []
    offset = 0

    def append(layer: int, module: str, matrix: Matrix, shape: tuple[int, ...]) -> None:
        nonlocal offset
        tensors.append(
            AdaptedTensor(layer=layer, module=module, matrix=matrix, shape=shape, offset=offset)
        )
        offset += tensors[-1].size

    for layer, module, inputs, outputs in modules:
        append(layer, module, "A", (rank, inputs))
        append(layer, module, "B", (outputs, rank))
    append(layers, "head.weight", "head", (classes, features))
    append(layers, "head.bias", "head", (classes,))
    return AdaptedLayout(rank=rank, alpha=alpha, tensors=tuple(tensors))
