"""Arm VGF: neural graphs for GPUs with Arm's ML extensions of Vulkan, by way of TOSA."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from exporters.executorch.backends.backend import LOOK_UPS_AND_LOSS, Backend
from exporters.executorch.backends.needs import need_packages
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner
    from torchao.quantization.pt2e.quantizer import Quantizer


class Vgf(Backend):
    name: ClassVar[str] = "vgf"
    quantizations: tuple[Quantization, ...] = ("int8",)
    runtime_name: ClassVar[str | None] = "VgfBackend"

    # Token ids are made 32-bit numbers before the graph.
    allowed_portable: ClassVar[frozenset[str]] = LOOK_UPS_AND_LOSS | {"_to_dim_order_copy"}

    def check(self) -> None:
        need_packages(self.name, ["model_converter", "tosa_serializer"])

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.arm.vgf import VgfCompileSpec, VgfPartitioner

        return [VgfPartitioner(VgfCompileSpec())]

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        from executorch.backends.arm.quantizer import (
            VgfQuantizer,
            get_symmetric_quantization_config,
        )
        from executorch.backends.arm.vgf import VgfCompileSpec

        config = get_symmetric_quantization_config(is_per_channel=True)
        quantizer: Quantizer = VgfQuantizer(VgfCompileSpec()).set_global(config)
        return quantizer
