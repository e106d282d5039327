"""Which LoRA a bundle gets: an existing PEFT adapter, or a fresh one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import ExportError
from exporters.lora.layout import TARGET_MODULES

_LAYERS_REMEDY = "write all, last:N, or A-B (first and last layer, counted from 0)"


@dataclass(frozen=True)
class LoraRequest:
    """With `peft_folder` the adapter there, else a fresh one of the other fields.

    `layers` is `all`, `last:N` or `A-B` (inclusive, counted from 0).
    """

    peft_folder: Path | None = None
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    layers: str = "all"

    def check_fresh(self, model_layers: int, modules: tuple[str, ...] = TARGET_MODULES) -> None:
        """Raises ExportError where the fields for a fresh adapter do not fit the model.

        Args:
            modules: linear layers that can carry LoRA.
        """
        if self.rank < 1 or self.alpha <= 0:
            raise ExportError(
                f"LoRA needs a positive rank and alpha, got {self.rank} and {self.alpha}"
            )
        unknown = sorted(set(self.targets) - set(modules))
        if unknown or not self.targets:
            raise ExportError(
                f"LoRA cannot target {', '.join(unknown) or 'nothing'}",
                remedy=f"choose from {', '.join(modules)}",
            )
        self.chosen_layers(model_layers)

    def chosen_layers(self, model_layers: int) -> list[int]:
        """The layers that get a fresh adapter, ascending.

        Raises:
            ExportError: `layers` is malformed or outside the model.
        """
        first, last = layer_range(self.layers, model_layers)
        return list(range(first, last + 1))


def layers_text(layers: tuple[int, int] | None) -> str:
    """How an inclusive range of layers is written: `A-B`, or `all` for None."""
    return "all" if layers is None else f"{layers[0]}-{layers[1]}"


def layer_range(text: str, model_layers: int) -> tuple[int, int]:
    """The first and last layer that `all`, `last:N` or `A-B` names.

    Raises:
        ExportError: the text is malformed or names layers outside the model.
    """
    if text == "all":
        first, last = 0, model_layers - 1
    elif match := re.fullmatch(r"last:(\d+)", text):
        first, last = model_layers - int(match[1]), model_layers - 1
    elif match := re.fullmatch(r"(\d+)-(\d+)", text):
        first, last = int(match[1]), int(match[2])
    else:
        raise ExportError(f"cannot read the LoRA layers {text!r}", remedy=_LAYERS_REMEDY)
    if not 0 <= first <= last < model_layers:
        raise ExportError(
            f"the LoRA layers {text!r} do not exist in a model of {model_layers} layers",
            remedy=_LAYERS_REMEDY,
        )
    return first, last
