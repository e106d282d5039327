"""Directions from a fixed pool."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveInt

from exporters.contract import Part
from exporters.lora.combination import DirectionName
from exporters.lora.directions import draw_seeds
from toolkit.sampling.context import SamplingContext

# Rounds use streams from 1 on.
_POOL_STREAM = 1 << 62


class SeedPool(Part):
    """The same `size` directions all run long (FedKSeed: Qin et al., ICML 2024).

    Whatever the length of the run, its values are the initial ones plus a weighted sum of `size`
    directions, which bounds what a client that was away has to be told. The price is that the
    values cannot leave the span of the pool. A call draws without repetition while the pool
    lasts; the paper's FedKSeed-Pro, with unequal probabilities, is not here.
    """

    wants_guide: ClassVar[bool] = False

    kind: Literal["seed_pool"] = "seed_pool"
    size: PositiveInt = 4096

    def drawn(self, stream: int, count: int) -> tuple[int, int]:
        """The seed stream that `count` directions come from, and how many seeds of it at most."""
        return _POOL_STREAM, self.size

    def propose(self, context: SamplingContext, count: int) -> list[DirectionName]:
        pool = draw_seeds(context.run_seed, _POOL_STREAM, self.size)
        passes = -(-count // self.size)
        words = draw_seeds(context.run_seed, context.stream, passes * self.size)
        order = np.argsort(np.array(words).reshape(passes, self.size), axis=1, kind="stable")
        return [pool[int(index)] for index in order.reshape(-1)[:count]]
