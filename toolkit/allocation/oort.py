"""Choosing participants by how useful and how fast they have been, after Oort.

Lai et al., Oort: Efficient Federated Learning via Guided Participant Selection, OSDI 2021. A
client's utility is its statistical utility, |B| · sqrt(mean of squared losses), times
(T / t)^α where its round takes t longer than the preferred T. Some participants are drawn in
proportion to utility among those near the best; the rest are clients never tried before, in
proportion to speed. Differences from the paper: T is a percentile of the clients' predicted
durations instead of being paced by the growth of utility, and nobody is barred after failures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.allocation.options import Counts
from toolkit.allocation.policies import Devices


@dataclass(frozen=True)
class OortSettings:
    """The paper's symbols where it has them; its defaults where it states them."""

    participants: int  # K
    over_commit: float = 1.3  # so many times K are asked, and the first K answers are used
    alpha: float = 2.0  # α: how much slow clients lose
    preferred_percentile: float = 50.0  # T, over the clients' durations
    exploration: float = 0.9  # ε of the first round
    exploration_decay: float = 0.98  # a round
    least_exploration: float = 0.2
    cut_off: float = 0.95  # c: candidates have at least c times the K-th best utility
    clip_percentile: float = 95.0  # of utility, against outliers

    def __post_init__(self) -> None:
        if self.participants < 1 or self.over_commit < 1:
            raise ValueError("participants are at least 1, and over-commitment too")


@dataclass
class Oort:
    """A policy with a memory: `observe` what participants reported, then divide the next round.

    Every participant gets the same number of probes: Oort says who takes part, not how much
    each does.
    """

    settings: OortSettings
    seed: int = 0
    _round: int = field(default=0, init=False)
    _utility: NDArray[np.float64] | None = field(default=None, init=False)
    _seen: NDArray[np.int64] | None = field(default=None, init=False)  # last round; 0: never

    def observe(
        self, participants: Counts, examples: Counts, root_mean_square_loss: NDArray[np.float64]
    ) -> None:
        """Takes in the statistical utility of this round's participants.

        Args:
            participants: int64 [n], positions of the devices; the rest has their order.
        """
        if self._utility is None or self._seen is None:
            raise ValueError("there is nothing to observe before the first division")
        self._utility[participants] = examples * root_mean_square_loss

    def __call__(self, devices: Devices, probes: int) -> Counts:
        if self._utility is None or self._seen is None:
            self._utility = np.zeros(len(devices))
            self._seen = np.zeros(len(devices), dtype=np.int64)
        self._round += 1
        wanted = min(len(devices), self.settings.participants, probes)
        asked = min(len(devices), round(self.settings.over_commit * wanted))
        chosen = self._choose(devices, probes / wanted, asked)
        self._seen[chosen] = self._round
        counts = np.zeros(len(devices), dtype=np.int64)
        counts[chosen] = np.minimum(-(-probes // wanted), devices.caps[chosen])
        return counts

    def _choose(self, devices: Devices, share: float, asked: int) -> Counts:
        settings = self.settings
        assert self._utility is not None and self._seen is not None
        generator = np.random.default_rng([self.seed, self._round])
        exploration = max(
            settings.least_exploration,
            settings.exploration * settings.exploration_decay ** (self._round - 1),
        )
        tried = np.flatnonzero(self._seen > 0)
        fresh = np.flatnonzero(self._seen == 0)
        exploring = min(len(fresh), round(exploration * asked))
        exploiting = min(len(tried), asked - exploring)
        exploring = min(len(fresh), asked - exploiting)
        duration = devices.fixed + devices.seconds * share
        known = self._exploit(tried, duration, exploiting, generator)
        new = _draw(generator, fresh, 1.0 / duration[fresh], exploring)
        return np.concatenate([known, new]).astype(np.int64)

    def _exploit(
        self,
        tried: Counts,
        duration: NDArray[np.float64],
        count: int,
        generator: np.random.Generator,
    ) -> Counts:
        if not count:
            return tried[:0]
        assert self._utility is not None and self._seen is not None
        settings = self.settings
        statistical = self._utility[tried]
        statistical = np.minimum(statistical, np.percentile(statistical, settings.clip_percentile))
        # The longer ago it was seen, the less its utility is known: the paper's staleness bonus.
        bonus = np.sqrt(0.1 * np.log(max(self._round, 2)) / self._seen[tried])
        preferred = np.percentile(duration, settings.preferred_percentile)
        slow = np.minimum(preferred / duration[tried], 1.0) ** settings.alpha
        utility = (statistical + bonus) * slow
        threshold = settings.cut_off * np.partition(utility, -count)[-count]
        pool = np.flatnonzero(utility >= threshold)
        return tried[_draw(generator, pool, np.maximum(utility[pool], 1e-12), count)]


def _draw(
    generator: np.random.Generator, pool: Counts, weights: NDArray[np.float64], count: int
) -> Counts:
    """`count` different members of the pool, in proportion to the weights."""
    if not count:
        return pool[:0]
    return generator.choice(pool, size=count, replace=False, p=weights / weights.sum())
