"""What lowering needs to know about a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from torch import nn

if TYPE_CHECKING:
    from executorch.exir import EdgeCompileConfig
    from executorch.exir.backend.partitioner import Partitioner
    from torchao.quantization.pt2e.quantizer import Quantizer

from exporters.manifest import Quantization

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
            it can run the programs.
        allowed_portable: operations that may stay on the portable kernels, by their names in
            ExecuTorch's edge dialect without namespace and overload.
    """

    name: ClassVar[str]
    quantizations: ClassVar[tuple[Quantization, ...]]
    runtime_name: ClassVar[str]
    allowed_portable: ClassVar[frozenset[str]] = LOOK_UPS_AND_LOSS

    def check(self) -> None:  # noqa: B027  # most backends need nothing but the wheel
        """Raises ExportError, with the remedy, where an SDK that compiling needs is missing."""

    @abstractmethod
    def partitioners(self) -> list[Partitioner]:
        """What picks the delegated parts of a graph; the first has the first choice."""

    def compile_config(self) -> EdgeCompileConfig:
        from executorch.exir import EdgeCompileConfig

        return EdgeCompileConfig(_check_ir_validity=False)

    def quantize_weights(self, model: nn.Module, quantization: Quantization) -> None:  # noqa: B027
        """Replaces weights by quantized ones, in place, before the model is traced."""

    def quantizer(self, quantization: Quantization) -> Quantizer | None:
        """For backends that quantize a traced graph after calibration; None: weights suffice."""
        return None

    def files(self) -> Mapping[str, Path]:
        """What the device needs beside the programs, e.g. the delegate's libraries, by name."""
        return {}
