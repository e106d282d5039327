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

At the two finest steps a discrepancy is rounding alone, which gives a. Elsewhere curvature counts
as visible where the discrepancy is above `_VISIBLE` times the rounding expected there. That is
true above some ε and false below; bisection on log ε finds it, and the least error lies a known
factor below. `_VISIBLE` is far above 1 since rounding is not quite the same at all ε, and the root
mean square over eight directions is off by a quarter itself. An ε that is off by a factor of 1.5
costs 40 % more error at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from android_harness.job import Estimator
from device_bench.numerics.contract import StepLosses
from device_bench.statistics import root_mean_square

FINEST = 1e-5
STEPS = 14  # each twice the one before; the coarsest is 0.08
_VISIBLE = 4.0
_FINE = (0, 1)


@dataclass(frozen=True)
class _Discrepancy:
    """What an estimator's error looks like where no exact slope is known."""

    order: int  # p
    rounding: float  # its rounding over the slope's
    curvature: float  # its curvature over the slope's

    @property
    def best_over_visible(self) -> float:
        """The ε of the least error over that at which curvature becomes visible."""
        curvature_over_rounding = (self.rounding / self.curvature) * (_VISIBLE**2 - 1) ** 0.5
        return float((self.order * curvature_over_rounding**2) ** (-0.5 / (self.order + 1)))


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

    Central differences want two steps each turn and three in the first, forward ones one and two.

    Args:
        estimator: central or forward.
    """

    TURNS: ClassVar[int] = 1 + math.ceil(math.log2(STEPS - _FINE[-1]))  # at most

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self._discrepancy = _DISCREPANCIES[estimator]
        self._rounding: float | None = None  # of a discrepancy, times ε; None: not yet known
        self._hidden, self._visible = _FINE[-1], STEPS

    @property
    def _asked(self) -> tuple[int, ...]:
        """The steps whose discrepancies are needed next; none when the search is over."""
        if self._rounding is None:
            return _FINE
        if self._visible - self._hidden <= 1:
            return ()
        return ((self._hidden + self._visible) // 2,)

    @property
    def wanted(self) -> tuple[int, ...]:
        """The steps whose losses the next turn needs; none at the end."""
        finer = 0 if self.estimator == "forward" else 1
        return tuple(sorted({step - k for step in self._asked for k in (0, finer)}))

    def tell(self, losses: Mapping[int, StepLosses] | None, base: float) -> None:
        """One turn.

        Args:
            losses: at the wanted steps; None: the backend could compute none, as where numbers
                overflow, which coarse steps alone make them do.
            base: the loss at θ.
        """
        asked = self._asked
        if losses is None:
            self._visible = asked[0]
            return
        seen = [self._seen(losses, step, base) * epsilon_at(step) for step in asked]
        if self._rounding is None:
            self._rounding = root_mean_square(np.array(seen))
        elif seen[0] > _VISIBLE * self._rounding:
            self._visible = asked[0]
        else:
            self._hidden = asked[0]

    def _seen(self, losses: Mapping[int, StepLosses], step: int, base: float) -> float:
        """The root mean square discrepancy over the directions."""
        here = losses[step]
        if self.estimator == "forward":
            return root_mean_square(here.forward_less_central(base))
        return root_mean_square(here.central_slopes - losses[step - 1].central_slopes)

    def best(self) -> BestStep:
        """The step of the least error, once nothing more is wanted."""
        epsilon = 2**0.5 * epsilon_at(self._hidden) * self._discrepancy.best_over_visible
        rounding = (self._rounding or 0.0) / self._discrepancy.rounding / epsilon
        # There the square of the curvature is 1/p of that of the rounding.
        error = rounding * (1 + 1 / self._discrepancy.order) ** 0.5
        return BestStep(epsilon=epsilon, error=error)
