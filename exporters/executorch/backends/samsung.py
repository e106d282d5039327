"""Samsung ENN: the NPU of Exynos chips.

Written to the interface of ExecuTorch's Samsung backend; compiling needs Samsung's kit and an
ExecuTorch that was built with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.needs import need_kit, need_packages
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir import EdgeCompileConfig
    from executorch.exir.backend.partitioner import Partitioner
    from torchao.quantization.pt2e.quantizer import Quantizer

_KIT = "EXYNOS_AI_LITECORE_ROOT"
_ON_HOST = "lib/x86_64-linux"


class Samsung(Backend):
    name: ClassVar[str] = "samsung"
    quantizations: tuple[Quantization, ...] = ("f16", "int8")
    runtime_name: ClassVar[str | None] = None
    socs: ClassVar[tuple[str, ...]] = ("E9955", "E9965")

    def check(self) -> None:
        need_kit(
            _KIT,
            "Samsung's Exynos AI LiteCore SDK",
            "soc-developer.semiconductor.samsung.com",
            [f"{_ON_HOST}/libgraphgen_api.so"],
        )
        need_packages(
            self.name,
            ["executorch.backends.samsung.python.PyEnnWrapperAdaptor"],
            f"build ExecuTorch 1.4.1 from its sources with {_KIT} set and the option "
            f"EXECUTORCH_BUILD_ENN, and run with ${_KIT}/{_ON_HOST} on LD_LIBRARY_PATH",
        )

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.samsung.partition.enn_partitioner import EnnPartitioner
        from executorch.backends.samsung.serialization.compile_options import (
            gen_samsung_backend_compile_spec,
        )

        return [EnnPartitioner([gen_samsung_backend_compile_spec(self.soc)])]

    def compile_config(self) -> EdgeCompileConfig:
        from executorch.backends.samsung.utils.export_utils import get_edge_compile_config

        config: EdgeCompileConfig = get_edge_compile_config()
        return config

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        if quantization == "f16":  # the compiler computes floats in 16 bits
            return None
        from executorch.backends.samsung.quantizer.quantizer import EnnQuantizer, Precision

        quantizer: Any = EnnQuantizer()
        quantizer.setup_quant_params(Precision.A8W8, is_per_channel=True)
        return quantizer
