"""Qualcomm QNN: the Hexagon tensor processor of Snapdragon chips.

Written to the interface of ExecuTorch's QNN backend; compiling needs Qualcomm's kit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.needs import need_kit, need_packages
from exporters.executorch.hexagon import HEXAGON_VERSIONS
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager
    from executorch.exir.backend.partitioner import Partitioner
    from torch.export import ExportedProgram
    from torchao.quantization.pt2e.quantizer import Quantizer

_ON_HOST = "lib/x86_64-linux-clang"
_COMPILER = (f"{_ON_HOST}/libQnnHtp.so", f"{_ON_HOST}/libQnnSystem.so")
_LAST_WITHOUT_FLOATS = 68
# Bits of activations and weights, by the names of Qualcomm's quantizer.
_QUANTIZER_NAMES: dict[Quantization, str] = {
    "int8": "use_8a8w",
    "16a8w": "use_16a8w",
    "16a4w": "use_16a4w",
}


class Qnn(Backend):
    """Programs hold context binaries: compiled for one version of the processor, with weights."""

    name: ClassVar[str] = "qnn"
    quantizations: tuple[Quantization, ...] = ("f16", "16a8w", "16a4w", "int8")
    runtime_name: ClassVar[str | None] = None
    socs: ClassVar[tuple[str, ...]] = tuple(HEXAGON_VERSIONS)

    def __init__(self, soc: str | None = None) -> None:
        super().__init__(soc)
        if HEXAGON_VERSIONS[soc or ""] <= _LAST_WITHOUT_FLOATS:
            self.quantizations = self.quantizations[1:]
        self._is_float = False

    def check(self) -> None:
        # The kit first: without one ExecuTorch's package tries to download it on import.
        need_kit(
            "QNN_SDK_ROOT",
            "Qualcomm's AI Engine Direct SDK",
            "qpm.qualcomm.com (Qualcomm AI Runtime)",
            _COMPILER,
        )
        need_packages(self.name, ["cpuinfo"])

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.qualcomm.partition.qnn_partitioner import QnnPartitioner

        return [QnnPartitioner(self._specs())]

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        self._is_float = quantization == "f16"
        if self._is_float:
            return None
        from executorch.backends.qualcomm.quantizer.quantizer import QnnQuantizer, QuantDtype
        from executorch.backends.qualcomm.serialization.qc_schema import (
            QcomChipset,
            QnnExecuTorchBackendType,
        )

        quantizer: Any = QnnQuantizer(
            backend=QnnExecuTorchBackendType.kHtpBackend, soc_model=QcomChipset[self.soc]
        )
        quantizer.set_default_quant_config(
            QuantDtype[_QUANTIZER_NAMES[quantization]], is_linear_per_channel=True
        )
        return quantizer

    def lower(self, programs: Mapping[str, ExportedProgram]) -> EdgeProgramManager:
        """As usual, with Qualcomm's own passes before, while its compiler is up."""
        self._load_compiler()
        from executorch.backends.qualcomm._passes.qnn_pass_manager import (
            get_qnn_pass_manager_cls,
        )
        from executorch.backends.qualcomm.utils.qnn_manager_lifecycle import QnnManagerContext
        from executorch.exir import to_edge_transform_and_lower

        specs = {name: self._specs() for name in programs}
        prepared, passes = {}, {}
        for name, program in programs.items():
            manager = get_qnn_pass_manager_cls()()
            prepared[name] = manager.transform_for_export_pipeline(program)
            passes[name] = manager.get_to_edge_transform_passes(program, compiler_specs=specs[name])
        with QnnManagerContext(specs):
            return to_edge_transform_and_lower(
                prepared,
                transform_passes=passes,
                partitioner={name: self.partitioners(name) for name in programs},
                compile_config=self.compile_config(),
            )

    def _specs(self) -> list[Any]:
        from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
        from executorch.backends.qualcomm.utils.utils import (
            generate_htp_compiler_spec,
            generate_qnn_executorch_compiler_spec,
        )

        specs: list[Any] = generate_qnn_executorch_compiler_spec(
            soc_model=QcomChipset[self.soc],
            backend_options=generate_htp_compiler_spec(use_fp16=self._is_float),
        )
        return specs

    def _load_compiler(self) -> None:
        """Qualcomm's libraries are looked for by name: those of the kit are to be found first."""
        kit = need_kit("QNN_SDK_ROOT", "Qualcomm's AI Engine Direct SDK", "", _COMPILER)
        for library in _COMPILER:
            ctypes.CDLL(str(kit / library), mode=ctypes.RTLD_GLOBAL)
