"""Calibrating the step ε of differences: bisection between rounding and curvature.

The error of a difference is V-shaped in ε. Rounding of the losses, of standard deviation σ, leaves
a/ε of it, and curvature b·ε^p: p is 1 for `forward` differences and 2 for `central` ones (Press et
al., Numerical Recipes, 3rd ed., 5.7). Their squares' sum is least where rounding² = p · curvature².

No exact slope is needed to see either. What is looked at is a discrepancy that has the same two
parts with known factors (`_DISCREPANCIES`):

* `central`: the difference of the slopes at ε and at ε/2, as in Richardson's extrapolation: √5
  times the rounding at ε, ¾ of its curvature;
* `forward`: the slope at ε less the central one there, which is (L₊ + L₋ − 2L) / 2ε: √¾ of the
  rounding and all of the curvature.

So it is V-shaped too. Bisection on log ε follows it down: where it is no higher at 2ε than at ε/2,
the bottom lies above ε. Such neighbours are compared, and no absolute level of rounding is assumed,
since σ is not the same at all ε: losses at neighbouring values round alike, and engines that
quantize activations reach their full rounding only at some ε. A few directions may agree by chance,
so a bottom is believed only where it is higher still at a coarser step; else the search goes on
there. Around the bottom the two parts are fitted, and the least error follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.optimize import nnls

from android_harness.job import Estimator
from device_bench.numerics.contract import StepLosses
from device_bench.statistics import root_mean_square

FINEST = 1e-5
STEPS = 14  # each twice the one before; the coarsest is 0.08
# Steps on either side of the bottom to which the two parts are fitted.
_REACH = 2
# How many steps coarser the one is that confirms a bottom.
_FARTHER = 2


@dataclass(frozen=True)
class _Discrepancy:
    """What an estimator's error looks like where no exact slope is known."""

    order: int  # p
    rounding: float  # its rounding over the slope's
    curvature: float  # its curvature over the slope's


_DISCREPANCIES: dict[Estimator, _Discrepancy] = {
    "central": _Discrepancy(order=2, rounding=5**0.5, curvature=0.75),
    "forward": _Discrepancy(order=1, rounding=0.75**0.5, curvature=1.0),
}


def epsilon_at(step: int) -> float:
    """ε of a step of the search's grid; step 0 is the finest whose discrepancy is looked at."""
    return float(FINEST * 2.0**step)


class BestStep(NamedTuple):
    """A step, and the root mean square error of slopes that is expected there, in their unit."""

    epsilon: float
    error: float


class StepSearch:
    """The search for one estimator's step: give it the losses that it wants, until it wants none.

    Central differences want up to four steps each turn, forward ones two.

    Args:
        estimator: central or forward.
    """

    TURNS: ClassVar[int] = 2 * math.ceil(math.log2(STEPS - 1))  # at most

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self._discrepancy = _DISCREPANCIES[estimator]
        self._seen: dict[int, float] = {}  # discrepancies by their steps
        self._low, self._high = 0, STEPS - 1  # the bottom lies between them
        self._confirmed = False

    @property
    def _asked(self) -> tuple[int, ...]:
        """The steps whose discrepancies are needed next; none when the search is over."""
        if self._high - self._low <= 1:
            farther = self._high + _FARTHER
            return () if self._confirmed or farther >= STEPS else (farther,)
        middle = (self._low + self._high) // 2
        return (middle - 1, middle + 1)

    @property
    def wanted(self) -> tuple[int, ...]:
        """The steps whose losses the next turn needs; none at the end."""
        finer = 0 if self.estimator == "forward" else 1
        return tuple(sorted({step - k for step in self._asked for k in (0, finer)}))

    def tell(self, losses: Mapping[int, StepLosses] | None, base: float) -> None:
        """One turn.

        Args:
            losses: at the wanted steps; None: the backend could not compute them all, as where
                numbers overflow, which coarse steps alone make them do.
            base: the loss at θ.
        """
        asked = self._asked
        if losses is not None:
            for step in asked:
                self._seen[step] = self._discrepancy_at(losses, step, base)
        if len(asked) == 1:
            self._confirm(asked[0])
            return
        finer, coarser = asked
        if losses is not None and self._seen[coarser] <= self._seen[finer]:
            self._low = finer + 1
        else:
            self._high = finer + 1

    def _confirm(self, farther: int) -> None:
        """Whether the bottom is one, by what was seen a little farther."""
        others = [seen for step, seen in self._seen.items() if step != farther]
        bottom = min(others, default=0.0)
        if self._seen.get(farther, math.inf) >= bottom:
            self._confirmed = True
        else:
            self._low, self._high = self._high + 1, STEPS - 1

    def _discrepancy_at(self, losses: Mapping[int, StepLosses], step: int, base: float) -> float:
        """The root mean square over the directions."""
        here = losses[step]
        if self.estimator == "forward":
            return root_mean_square(here.forward_less_central(base))
        return root_mean_square(here.central_slopes - losses[step - 1].central_slopes)

    def best(self) -> BestStep:
        """The step of the least error, once nothing more is wanted."""
        at = self._discrepancy
        near = [step for step in self._seen if self._low - _REACH <= step <= self._high + _REACH]
        rounding, curvature = self._parts(near)
        least, most = epsilon_at(self._low), epsilon_at(self._high)
        epsilon = most if curvature == 0 else least
        if rounding > 0 and curvature > 0:
            ratio = rounding**2 / (at.order * curvature**2)
            bottom = ratio ** (0.5 / (at.order + 1))
            epsilon = min(max(bottom, least / 2), 2 * most)
        error = math.hypot(rounding / epsilon, curvature * epsilon**at.order)
        return BestStep(epsilon=epsilon, error=error)

    def _parts(self, steps: Sequence[int]) -> tuple[float, float]:
        """a and b of the slope's error, fitted to the squares of the discrepancies there."""
        at = self._discrepancy
        epsilons = np.array([epsilon_at(step) for step in steps])
        seen = np.array([self._seen[step] for step in steps])
        if not np.any(seen > 0):
            return 0.0, 0.0
        # Relative to each, so that the high ones do not decide alone.
        weights = 1 / np.maximum(seen, np.max(seen) * np.finfo(np.float64).eps) ** 2
        parts = [at.rounding / epsilons, at.curvature * epsilons**at.order]
        columns = np.square(parts)
        scale = np.max(columns * weights, axis=1)
        (rounding, curvature), _ = nnls((columns * weights / scale[:, None]).T, seen**2 * weights)
        return float(np.sqrt(rounding / scale[0])), float(np.sqrt(curvature / scale[1]))
