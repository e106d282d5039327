"""What lowering needs to know about a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from torch import nn

if TYPE_CHECKING:
    from executorch.exir import EdgeCompileConfig, EdgeProgramManager
    from executorch.exir.backend.partitioner import Partitioner
    from torch.export import ExportedProgram
    from torchao.quantization.pt2e.quantizer import Quantizer

from exporters.errors import ExportError
from exporters.manifest import CompilerEstimate, Quantization

# Table look-ups and the few operations on [positions, classes] at the end of a program: a
# negligible part of its work, which no delegate need have.
LOOK_UPS_AND_LOSS = frozenset(
    {"embedding", "embedding_byte", "embedding_4bit", "index_select", "argmax", "gather",
     "expand_copy", "log", "unsqueeze_copy", "squeeze_copy", "view_copy", "slice_copy",
     "select_copy"}
)  # fmt: skip


class Backend(ABC):
    """One delegate of ExecuTorch: how programs are quantized for it, partitioned and compiled.

    Attributes:
        name: what `--backend` and the manifest call it.
        quantizations: that it can compute, the default first.
        runtime_name: of the delegate in ExecuTorch's runtime, by which the host is asked whether
            it can run the programs; None: programs that no host can run.
        socs: chips that programs can be compiled for; empty: programs suit any.
        environment: what a process needs in its environment before it compiles or runs programs.
        allowed_portable: operations that may stay on the portable kernels, by their names in
            ExecuTorch's edge dialect without namespace and overload.

    Args:
        soc: one of `socs`.

    Raises:
        ExportError: `soc` is not one of them, or missing where a chip must be known.
    """

    name: ClassVar[str]
    quantizations: tuple[Quantization, ...]
    runtime_name: ClassVar[str | None]
    socs: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[Mapping[str, str]] = {}
    allowed_portable: ClassVar[frozenset[str]] = LOOK_UPS_AND_LOSS

    def __init__(self, soc: str | None = None) -> None:
        if self.socs and soc not in self.socs:
            missing = "needs to know the chip" if soc is None else f"does not compile for {soc}"
            raise ExportError(
                f"{self.name} {missing}", remedy=f"give --soc, one of {', '.join(self.socs)}"
            )
        if soc is not None and not self.socs:
            raise ExportError(
                f"{self.name} programs are not compiled for a chip", remedy="leave --soc out"
            )
        self.soc = soc

    def check(self) -> None:  # noqa: B027  # most backends need nothing but the wheel
        """Raises ExportError, with the remedy, where an SDK that compiling needs is missing."""

    @abstractmethod
    def partitioners(self, method: str) -> list[Partitioner]:
        """What picks the delegated parts of a method's graph; the first has the first choice."""

    def compile_config(self) -> EdgeCompileConfig:
        from executorch.exir import EdgeCompileConfig

        return EdgeCompileConfig(_check_ir_validity=False)

    def lower(self, programs: Mapping[str, ExportedProgram]) -> EdgeProgramManager:
        """Traced methods, by name, with the delegated parts compiled."""
        from executorch.exir import to_edge_transform_and_lower

        return to_edge_transform_and_lower(
            dict(programs),
            partitioner={name: self.partitioners(name) for name in programs},
            compile_config=self.compile_config(),
        )

    def quantize_weights(self, model: nn.Module, quantization: Quantization) -> None:  # noqa: B027
        """Replaces weights by quantized ones, in place, before the model is traced."""

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        """For backends that quantize a traced graph after calibration; None: weights suffice."""
        return None

    def files(self) -> Mapping[str, Path]:
        """What the device needs beside the programs, e.g. the delegate's libraries, by name."""
        return {}

    def estimate(self, method: str) -> CompilerEstimate | None:
        """What the compiler expects of a run of a lowered method; None: it expects nothing."""
        return None
