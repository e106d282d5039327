"""How slopes are measured, as far as it decides what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeInt

from android_harness.job import Estimator

LossPositions = Literal["last", "all"]
Layers = tuple[NonNegativeInt, NonNegativeInt]  # an inclusive range, counted from 0


@dataclass(frozen=True)
class Setting:
    """`batch` examples of `tokens` tokens, `directions_per_pass` directions at once.

    `layers` is the range whose LoRA moves; None: all adapted layers.
    """

    batch: int
    tokens: int
    estimator: Estimator
    directions_per_pass: int
    layers: Layers | None = None

    @property
    def columns(self) -> int:
        """Perturbed copies of the LoRA, or tangents, of all directions together."""
        return self.directions_per_pass * (2 if self.estimator == "central" else 1)
