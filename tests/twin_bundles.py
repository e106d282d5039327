"""One random model with one LoRA, as a GGUF bundle and as a bundle for ExecuTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporters.manifest import Bundle
from tests.command_line import fwdllm
from tests.exporters.models import random_llama

# Lowering takes seconds for each program, so two sizes and one number of slots each must do.
SHORT, LONG = (2, 8), (4, 24)
LOSS_SLOTS, TANGENT_SLOTS = 2, 3


@dataclass(frozen=True)
class TwinBundles:
    """Both f32; their adapters hold the same values."""

    gguf: Bundle
    executorch: Bundle


def make_twins(folder: Path) -> TwinBundles:
    """Exports both by the commands, into `folder`."""
    model = random_llama(folder / "model")
    common = ("--quant", "f32", "--lora-rank", 2, "--parity-directions", 2)
    sizes = ",".join(f"{batch}x{length}" for batch, length in (SHORT, LONG))
    fwdllm("export", "gguf", model, "--out", folder / "gguf", *common)
    fwdllm(
        "export", "executorch", model, "--out", folder / "executorch", *common,
        "--sizes", sizes, "--loss-slots", LOSS_SLOTS, "--slots", TANGENT_SLOTS,
    )  # fmt: skip
    return TwinBundles(Bundle(folder / "gguf"), Bundle(folder / "executorch"))
