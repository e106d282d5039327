"""Directions without preference."""

from __future__ import annotations

from typing import ClassVar, Literal

from exporters.contract import Part
from exporters.lora.combination import DirectionName
from exporters.lora.directions import draw_seeds
from toolkit.sampling.context import SamplingContext


class PlainSampling(Part):
    """Seeds of directions never used before: the estimate is unbiased."""

    wants_guide: ClassVar[bool] = False

    kind: Literal["plain"] = "plain"

    def drawn(self, stream: int, count: int) -> tuple[int, int]:
        """The seed stream that `count` directions come from, and how many seeds of it at most."""
        return stream, count

    def propose(self, context: SamplingContext, count: int) -> list[DirectionName]:
        return list(draw_seeds(context.run_seed, context.stream, count))
