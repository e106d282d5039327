"""OpenVINO: Intel's compiler. Its programs run on hosts, not on phones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from exporters.executorch.backends.backend import Backend
from exporters.executorch.backends.needs import need_packages
from exporters.manifest import Quantization

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner


class Openvino(Backend):
    """Every operation of a program is compiled for the processor, weights included."""

    name: ClassVar[str] = "openvino"
    quantizations: tuple[Quantization, ...] = ("f32",)
    runtime_name: ClassVar[str | None] = "OpenvinoBackend"
    # Where the processor has bfloat16 units, OpenVINO rounds float32 to it, by more than the
    # differences that slopes are made of. ExecuTorch's delegate passes no precision on; what can
    # be told is to use no newer instructions than those before bfloat16.
    environment: ClassVar[Mapping[str, str]] = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}

    def check(self) -> None:
        need_packages(self.name, ["openvino", "nncf"])

    def partitioners(self, method: str) -> list[Partitioner]:
        from executorch.backends.openvino.partitioner import OpenvinoPartitioner
        from executorch.exir.backend.compile_spec_schema import CompileSpec

        return [OpenvinoPartitioner([CompileSpec("device", b"CPU")])]
