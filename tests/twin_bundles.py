"""One random model with one LoRA, as a GGUF bundle and as a bundle for ExecuTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from tests.exporters.models import random_llama

# Lowering takes seconds for each program, so two sizes and one number of slots each must do.
SHORT, LONG = (2, 8), (4, 24)
LOSS_SLOTS, TANGENT_SLOTS = 2, 3


@dataclass(frozen=True)
class TwinBundles:
    """Both f32; their adapters hold the same values."""

    model: Path
    gguf: Bundle
    executorch: Bundle


def make_twins(folder: Path) -> TwinBundles:
    model = random_llama(folder / "model")
    lora = LoraRequest(rank=2)
    return TwinBundles(
        model,
        export_gguf(
            str(model), folder / "gguf", quantization="f32", lora=lora, parity_directions=2
        ),
        export_executorch(
            str(model),
            folder / "executorch",
            lora=lora,
            programs=ProgramRequest(
                shapes=(SHORT, LONG), loss_slots=(LOSS_SLOTS,), tangent_slots=(TANGENT_SLOTS,)
            ),
            parity_directions=2,
        ),
    )
