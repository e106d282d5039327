"""FwdLLM's discriminative sampling."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from exporters.contract import Part
from exporters.lora.combination import DirectionName
from exporters.lora.directions import draw_seeds
from toolkit.gradient.projection import Projector
from toolkit.sampling.context import SamplingContext


class TensorFilter(Part):
    """Per tensor, the candidates that point most nearly along an earlier gradient.

    As in the code of FwdLLM (Xu et al., USENIX ATC 2024): of `candidates` times as many random
    directions as are wanted, every tensor ranks its own pieces by signed cosine with the guide's
    piece and keeps the best; the k-th best pieces of all tensors make the k-th direction, named
    by one seed per tensor. The slope along the guide grows by up to the root of the number of
    tensors, and the estimate is biased towards the guide. The signed cosine matters: pieces of
    either sign would cancel. In the authors' code only the last 1,000 candidates are ranked and
    the ranks applied to the first ones, so that it filters nothing with more than 100 directions;
    here all of them are ranked.

    Args:
        candidates: per direction wanted; the authors take 10, the paper finds 5 best.
        every: 2: only every second round is filtered, beginning with the second, as the authors
            do; 1: every round that has a guide.
    """

    wants_guide: ClassVar[bool] = True

    kind: Literal["tensor_filter"] = "tensor_filter"
    candidates: PositiveInt = 10
    every: Literal[1, 2] = 1

    def drawn(self, stream: int, count: int) -> tuple[int, int]:
        """The seed stream that `count` directions come from, and how many seeds of it at most."""
        return stream, self.candidates * count

    def propose(self, context: SamplingContext, count: int) -> list[DirectionName]:
        """Without a guide, or in a round that is not filtered: plain directions."""
        if context.guide is None or context.round_number % self.every:
            return list(draw_seeds(context.run_seed, context.stream, count))
        seeds = draw_seeds(context.run_seed, context.stream, self.candidates * count)
        cosines = _cosines(context, seeds)
        # A tensor that the guide says nothing of keeps the candidates in their order.
        best = np.argsort(-cosines, axis=0, kind="stable")[:count]
        return [tuple(seeds[int(index)] for index in ranks) for ranks in best]


def _cosines(context: SamplingContext, seeds: list[int]) -> NDArray[np.float64]:
    """Up to a positive factor per tensor, float64 [seeds, tensors]; holds one direction at a time.

    All Rademacher pieces of a tensor are equally long, so their products with the guide rank
    them; Gaussian pieces are divided by their lengths.
    """
    assert context.guide is not None
    projector = Projector(context.guide, context.layout)
    scores = np.empty((len(seeds), len(context.layout.tensors)), dtype=np.float64)
    for row, seed in enumerate(seeds):
        scores[row] = projector.by_tensor(seed, context.distribution, context.support)
        if context.distribution == "gaussian":
            lengths = projector.lengths(seed, context.distribution, context.support)
            scores[row] /= np.where(lengths > 0, lengths, 1)
    return scores
