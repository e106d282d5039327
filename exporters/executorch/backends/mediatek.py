"""MediaTek NeuroPilot: the APU of Dimensity chips.

Written to the interface of ExecuTorch's MediaTek backend; compiling needs MediaTek's wheels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.needs import need_packages
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner
    from torchao.quantization.pt2e.quantizer import Quantizer

_PRECISIONS: dict[Quantization, str] = {"int8": "A8W8", "16a8w": "A16W8", "16a4w": "A16W4"}


class Mediatek(Backend):
    name: ClassVar[str] = "mediatek"
    quantizations: tuple[Quantization, ...] = ("f16", "16a8w", "16a4w", "int8")
    runtime_name: ClassVar[str | None] = None
    socs: ClassVar[tuple[str, ...]] = ("mt6989", "mt6991", "mt6993")

    def check(self) -> None:
        need_packages(
            self.name,
            ["mtk_converter", "mtk_neuron"],
            "install the wheels mtk_converter and mtk_neuron of MediaTek's NeuroPilot Express SDK "
            "(neuropilot.mediatek.com)",
        )

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.mediatek import NeuropilotPartitioner
        from executorch.exir.backend.compile_spec_schema import CompileSpec

        assert self.soc is not None
        return [NeuropilotPartitioner([CompileSpec("platform-config", self.soc.encode())])]

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        if quantization == "f16":  # the compiler computes floats in 16 bits
            return None
        from executorch.backends.mediatek import NeuropilotQuantizer, Precision

        quantizer: Any = NeuropilotQuantizer()
        quantizer.setup_precision(Precision[_PRECISIONS[quantization]])
        return quantizer
