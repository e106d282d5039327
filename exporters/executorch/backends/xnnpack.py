"""XNNPACK: the processor's vector units, on phones and hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from exporters.executorch.backends.backend import Backend
from exporters.executorch.quantize import quantize_dynamically
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner


class Xnnpack(Backend):
    name: ClassVar[str] = "xnnpack"
    quantizations: tuple[Quantization, ...] = ("int8", "8da4w", "f32")
    runtime_name: ClassVar[str | None] = "XnnpackBackend"

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        return [XnnpackPartitioner()]

    def quantize_weights(self, model: nn.Module, quantization: Quantization) -> None:
        quantize_dynamically(model, quantization)
