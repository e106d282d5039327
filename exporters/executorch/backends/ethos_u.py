"""Arm Ethos-U: integer NPUs beside small processors, by way of TOSA and the compiler Vela."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from exporters.executorch.backends.backend import LOOK_UPS_AND_LOSS, Backend
from exporters.executorch.backends.needs import need_packages
from exporters.executorch.vela_summary import estimate_of
from exporters.manifest import CompilerEstimate, Quantization

if TYPE_CHECKING:
    from executorch.backends.arm.ethosu import EthosUCompileSpec
    from executorch.exir.backend.partitioner import Partitioner, PartitionResult
    from torch.export import ExportedProgram
    from torchao.quantization.pt2e.quantizer import Quantizer

_MACS = {"ethos-u55": (32, 64, 128, 256), "ethos-u85": (128, 256, 512, 1024, 2048)}
# Models of language do not fit into memory on the chip: Ethos-U85 has their weights in DRAM and
# 384 KB of its own. Ethos-U55 knows no DRAM; its weights are in flash.
_MEMORY_MODES = {"ethos-u55": "Shared_Sram", "ethos-u85": "Dedicated_Sram_384KB"}


class EthosU(Backend):
    """Everything is computed in integers with ranges chosen by calibration, LoRA and loss included.

    No host runs the programs; Vela says what it expects of them.
    """

    name: ClassVar[str] = "ethos-u"
    quantizations: tuple[Quantization, ...] = ("16a8w", "int8")
    runtime_name: ClassVar[str | None] = None
    socs: ClassVar[tuple[str, ...]] = tuple(
        f"{family}-{macs}" for family, sizes in _MACS.items() for macs in sizes
    )
    # Between parts that Vela compiles, values are floats in PyTorch's order of dimensions.
    allowed_portable: ClassVar[frozenset[str]] = LOOK_UPS_AND_LOSS | {
        "quantize_per_tensor", "dequantize_per_tensor", "_to_dim_order_copy", "permute_copy",
    }  # fmt: skip

    def __init__(self, soc: str | None = None) -> None:
        super().__init__(soc)
        # Vela's summaries, by method and part. The name of the folder goes into the program.
        self._summaries = TemporaryDirectory(prefix="vela-")

    def check(self) -> None:
        need_packages(self.name, ["ethosu", "tosa_serializer"])

    def partitioners(self, method: str) -> list[Partitioner]:
        return [_partitioner(self._spec(), self._folder(method))]

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        from executorch.backends.arm.quantizer import (
            EthosUQuantizer,
            get_symmetric_a16w8_quantization_config,
            get_symmetric_quantization_config,
        )

        if quantization == "16a8w":
            config = get_symmetric_a16w8_quantization_config(is_per_channel=True)
        else:
            config = get_symmetric_quantization_config(is_per_channel=True)
        quantizer: Quantizer = EthosUQuantizer(self._spec()).set_global(config)
        return quantizer

    def estimate(self, method: str) -> CompilerEstimate | None:
        summaries = sorted(self._folder(method).glob("*/output/*_summary_*.csv"))
        return estimate_of(summaries) if summaries else None

    def _folder(self, method: str) -> Path:
        return Path(self._summaries.name) / method

    def _spec(self) -> EthosUCompileSpec:
        from executorch.backends.arm.ethosu import EthosUCompileSpec

        assert self.soc is not None
        return EthosUCompileSpec(self.soc, memory_mode=_MEMORY_MODES[self.soc.rpartition("-")[0]])


def _partitioner(spec: EthosUCompileSpec, folder: Path) -> Partitioner:
    from executorch.backends.arm.ethosu import EthosUPartitioner
    from executorch.exir.backend.partitioner import DelegationSpec, Partitioner

    class WithSummaries(Partitioner):
        """Has every part compiled in a folder of its own, where Vela leaves its summary."""

        def __init__(self) -> None:
            super().__init__()
            self._partitioner = EthosUPartitioner(spec)

        def partition(self, exported_program: ExportedProgram) -> PartitionResult:
            result = self._partitioner.partition(exported_program)
            for tag, delegation in result.partition_tags.items():
                part = folder / tag
                part.mkdir(parents=True, exist_ok=True)
                spec.dump_intermediate_artifacts_to(str(part))
                result.partition_tags[tag] = DelegationSpec(delegation.backend_id, spec._to_list())
            return result

        def ops_to_not_decompose(self, ep: ExportedProgram):  # type: ignore[no-untyped-def]
            return self._partitioner.ops_to_not_decompose(ep)

    return WithSummaries()
