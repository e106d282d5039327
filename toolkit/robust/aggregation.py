"""How the clients' forward gradients become one, when some of them may lie.

Yin et al. (Byzantine-robust distributed learning, ICML 2018) analyse the trimmed mean and the
median, Chen et al. (POMACS 2017) the median of means. All treat a client as one vote, however
many probes it made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from exporters.contract import Part
from exporters.lora.combination import DirectionName
from exporters.lora.directions import add_direction
from exporters.lora.support import ParameterLayout
from toolkit.gradient.estimate import Estimate
from toolkit.gradient.forward_gradient import Measured, Values, forward_gradient


class Mean(Part):
    """The weighted mean over probes. One client with huge slopes decides the result."""

    kind: Literal["mean"] = "mean"

    def estimate(self, measured: Sequence[Measured], layout: ParameterLayout) -> Estimate:
        return Estimate(measured, layout, forward_gradient(measured, layout))

    def scalars(self, slopes: Sequence[float]) -> list[float]:
        """One slope per client along one direction, as a rule may average them: unchanged."""
        return list(slopes)


class ClippedMean(Part):
    """The mean over probes whose slopes are cut to ± bound · the median of all |slope|.

    Slopes along random directions all measure one gradient and are nearly normal. At the default
    bound half of them are cut: of honest slopes nine tenths of the alignment are left, and against
    a fifth of liars that send any slopes at all about half of it, as much as any bound leaves. The
    result is shorter than the mean; a step that is a share of the values does not mind. It is
    still a weighted sum of directions: the update stays as small as that of the mean.
    """

    kind: Literal["clipped"] = "clipped"
    bound: PositiveFloat = 1.0

    def estimate(self, measured: Sequence[Measured], layout: ParameterLayout) -> Estimate:
        limit = np.float32(self._limit([s for one in measured for s in one.slopes.tolist()]))
        cut = [replace(one, slopes=np.clip(one.slopes, -limit, limit)) for one in measured]
        return Estimate(cut, layout, forward_gradient(cut, layout))

    def scalars(self, slopes: Sequence[float]) -> list[float]:
        """One slope per client along one direction, cut in the same way."""
        limit = self._limit(slopes)
        return [min(limit, max(-limit, slope)) for slope in slopes]

    def _limit(self, slopes: Sequence[float]) -> float:
        return self.bound * float(np.median(np.abs(slopes))) if slopes else 0.0


class TrimmedMean(Part):
    """Per parameter, the mean over clients without the `hostile` largest and smallest shares."""

    kind: Literal["trimmed"] = "trimmed"
    hostile: float = Field(default=0.2, ge=0, lt=0.5)

    def estimate(self, measured: Sequence[Measured], layout: ParameterLayout) -> Estimate:
        return Estimate(
            measured, layout, _over_clients(measured, layout, self._combine), linear=False
        )

    def scalars(self, slopes: Sequence[float]) -> list[float]:
        """One slope per client along one direction, combined into one."""
        return _one_of(slopes, self._combine)

    def _combine(self, votes: NDArray[np.float32]) -> Values:
        count = len(votes)
        cut = min(math.ceil(self.hostile * count), (count - 1) // 2)
        return _mean(np.sort(votes, axis=0)[cut : count - cut])


class MedianOfMeans(Part):
    """Per parameter, the median of the means of groups of clients.

    Clients are dealt out to the groups in the order of their answers. Larger groups lose less to
    the median where nobody lies; but one liar spoils its group, and with spoilt groups near
    half, the median is that of the outermost honest ones. With groups of one, the default, it is
    the median over clients: for a fifth of liars nothing larger is safe.
    """

    kind: Literal["median_of_means"] = "median_of_means"
    group: PositiveInt = 1

    def estimate(self, measured: Sequence[Measured], layout: ParameterLayout) -> Estimate:
        return Estimate(
            measured, layout, _over_clients(measured, layout, self._combine), linear=False
        )

    def scalars(self, slopes: Sequence[float]) -> list[float]:
        """One slope per client along one direction, combined into one."""
        return _one_of(slopes, self._combine)

    def _combine(self, votes: NDArray[np.float32]) -> Values:
        groups = -(-len(votes) // self.group)
        means = np.sort(np.stack([_mean(votes[group::groups]) for group in range(groups)]), axis=0)
        return _mean(means[(groups - 1) // 2 : groups // 2 + 1])


Aggregation = Annotated[
    Mean | ClippedMean | TrimmedMean | MedianOfMeans, Field(discriminator="kind")
]


def _one_of(
    slopes: Sequence[float], combine: Callable[[NDArray[np.float32]], Values]
) -> list[float]:
    if not slopes:
        return []
    return [float(combine(np.array(slopes, dtype=np.float32)[:, np.newaxis])[0])]


def _mean(rows: NDArray[np.float32]) -> Values:
    """Row by row in float32, so that the order of summation is the same everywhere."""
    total = np.zeros(rows.shape[1], dtype=np.float32)
    for row in rows:
        total += row
    return total * np.float32(1 / len(rows))


def _over_clients(
    measured: Sequence[Measured],
    layout: ParameterLayout,
    combine: Callable[[NDArray[np.float32]], Values],
) -> Values:
    """Combines the clients' own forward gradients tensor by tensor, float32 [parameters].

    One vote per client, over all its answers of the round; only those that moved the tensor vote
    on it.
    """
    gradient = np.zeros(layout.parameters, dtype=np.float32)
    answers: dict[str, list[Measured]] = {}
    for one in measured:
        answers.setdefault(one.client, []).append(one)
    for position, tensor in enumerate(layout.tensors):
        votes = []
        for own in answers.values():
            moving = [one for one in own if one.directions and one.support.contains(tensor)]
            if moving:
                votes.append(_vote(moving, position, tensor.slice))
        if votes:
            gradient[tensor.slice] = combine(np.stack(votes))
    return gradient


def _vote(answers: Sequence[Measured], position: int, place: slice) -> Values:
    """One client's forward gradient within the tensor at `position` of the layout."""
    vote = np.zeros(place.stop - place.start, dtype=np.float32)
    total = sum(one.weight * len(one.directions) for one in answers)
    for one in answers:
        scaled = one.slopes.astype(np.float64) * (one.weight / total)
        for name, scale in zip(one.directions, scaled.tolist(), strict=True):
            add_direction(
                vote,
                _seed(name, position),
                scale,
                start=place.start,
                distribution=one.distribution,
            )
    return vote


def _seed(name: DirectionName, position: int) -> int:
    return name if isinstance(name, int) else name[position]
