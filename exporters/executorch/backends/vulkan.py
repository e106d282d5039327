"""Vulkan: the phone's GPU. Programs are only made here; no runtime for it is in the wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from exporters.executorch.backends.backend import Backend
from exporters.executorch.quantize import quantize_dynamically
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner


class Vulkan(Backend):
    name: ClassVar[str] = "vulkan"
    quantizations: tuple[Quantization, ...] = ("int8", "8da4w", "f32")
    runtime_name: ClassVar[str | None] = "VulkanBackend"

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return [VulkanPartitioner()]

    def quantize_weights(self, model: nn.Module, quantization: Quantization) -> None:
        quantize_dynamically(model, quantization)
