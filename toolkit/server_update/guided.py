"""A running estimate of the gradient whose own slope the clients measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveFloat

from exporters.contract import Part
from toolkit.errors import TrainingError
from toolkit.gradient.estimate import Estimate
from toolkit.gradient.forward_gradient import Measured, Values, combinations, forward_gradient
from toolkit.protocol.exact import exact_dot, exact_norm
from toolkit.protocol.update import RoundUpdate
from toolkit.server_update.annealing import Annealing
from toolkit.server_update.ratio import step_ratio
from toolkit.server_update.residual import Predicted, mean_square
from toolkit.server_update.state import Plan, RoundState

_RATIO, _PREDICTED = "guided:ratio", "guided:slope"
# The share of its first slope that a step should leave along its direction: 0 would be the lowest
# point, which noise makes a step too far.
_SHARE_TO_LEAVE = 0.3
# How fast the ratio follows: it is at most halved in a round.
_RATE = 0.5
_LARGEST_RATIO = 0.5
# Of the usual step, to begin with: a first step too long costs more rounds than one too short.
_FIRST = 0.1
# However noisy the batches look, this share of the slopes' variance is believed to be signal:
# else a round whose few clients disagree by chance would teach nothing.
_LEAST_SIGNAL = 0.05


class GuidedStep(Part):
    """m ← the gradient's measured part along m, plus a shrunk estimate of the rest.

    Clients measure one slope along m, u = m scaled to a root mean square of 1
    (`Order.along = Along(keep=1, ())`); their mean over ‖u‖ is s, the gradient's component along
    m. It is shrunk by s²/(s² + its squared standard error). Each probe's slope then only has to
    tell of the rest, slope_i − s · v_i·m/‖m‖. Of n such probes in p parameters the best linear
    estimate is their forward gradient, at right angles to m, times n'/(p + n') with n' = n times
    the share of the residuals' variance that is not noise of the batches. That noise is read from
    how much clients differ along u, where one slope is as noisy as along any direction. Then
    θ ← θ − ρ_t ‖θ‖ m/‖m‖.

    The same slopes tell how far to go. Before a step the slope along m is expected to be ‖m‖, and
    afterwards it is s. Without a `ratio`, ρ begins at a tenth of that of `TrustRatioStep` and is
    then multiplied by 1 + ½ (s/‖m‖ − 0.3), at least by ½: it grows while steps end far above the
    lowest point along their direction, and shrinks when they pass it. With a `ratio`, that is
    ρ_1, annealed.

    The project's own rule, related to the guided estimates of Maheswaranathan et al. (Guided
    evolutionary strategies, ICML 2019), to control variates, and to line searches. It needs m on
    the replicas, so it goes with linear aggregation only.
    """

    wants_guide: ClassVar[bool] = True

    kind: Literal["guided"] = "guided"
    ratio: PositiveFloat | None = None
    annealing: Annealing = "linear"

    def plan(self, state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]) -> Plan:
        """Raises:
        TrainingError: the estimate is not linear.
        """
        if not estimate.linear:
            raise TrainingError(
                "the guided update needs an aggregation that is a weighted sum of directions",
                remedy="take the aggregation mean or clipped, or another update rule",
            )
        values = state.replica.values
        keep, shrink, residual = _mixture(state, estimate, guide_slopes)
        added = combinations(residual, estimate.layout, shrink)
        memory = state.replica.after(RoundUpdate(added, (keep, 0.0)), estimate.layout).memory
        assert memory is not None  # an update with momentum makes one
        share = self._share(state, estimate, guide_slopes)
        values_norm = estimate.values_norm(values)
        norm = exact_norm(memory)
        length = share * values_norm / norm if norm > 0 else 0.0
        return Plan(
            update=RoundUpdate(added, momentum=(keep, -length)),
            memory=state.memory.with_scalars(**{_RATIO: share, _PREDICTED: norm}),
            gradient_norm=estimate.gradient_norm,
            values_norm=values_norm,
            step_norm=length * norm,
        )

    def _share(self, state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]) -> float:
        before, scalars = state.replica.memory, state.memory.scalars
        if self.ratio is not None or _RATIO not in scalars:
            alignment = estimate.coverage.alignment
            usual = step_ratio(self.ratio, self.annealing, state, alignment=alignment)
            return usual if self.ratio is not None else _FIRST * usual
        if before is None or not guide_slopes or not scalars[_PREDICTED] > 0:
            return scalars[_RATIO]
        slope = math.fsum(guide_slopes) / len(guide_slopes) / _root_size(before)
        excess = slope / scalars[_PREDICTED] - _SHARE_TO_LEAVE
        ratio = scalars[_RATIO] * (1 + _RATE * min(1.0, max(-1.0, excess)))
        return min(_LARGEST_RATIO, ratio)


def _mixture(
    state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]
) -> tuple[float, float, Sequence[Measured]]:
    """(factor of m, factor of the residual, residual probes)."""
    alignment = estimate.coverage.alignment
    before = state.replica.memory
    norm = 0.0 if before is None else exact_norm(before)
    if before is None or norm == 0:
        return 0.0, _shrink(alignment, 1.0), estimate.measured
    if not guide_slopes:
        # Nobody measured along m: it is believed to be what it was.
        shrink = _shrink(alignment, 1.0)
        return 1 - shrink, shrink, estimate.measured
    mean, variance = _moments(guide_slopes)
    along = mean / _root_size(before)
    residual = Predicted.by(before, estimate).residual(along / norm)
    left = mean_square(residual)
    signal = max(_LEAST_SIGNAL, 1 - variance / left) if left > 0 else 1.0
    shrink = _shrink(alignment, signal)
    rest = forward_gradient(residual, estimate.layout)
    return (along - shrink * exact_dot(rest, before) / norm) / norm, shrink, residual


def _root_size(memory: Values) -> float:
    """‖u‖ of m scaled to a root mean square of 1 over the parameters that are not 0 in it."""
    return math.sqrt(int(np.count_nonzero(memory)))


def _shrink(alignment: float, signal: float) -> float:
    """n'/(p + n'), where alignment² is n/p and n' = signal · n."""
    ratio = alignment**2 * signal
    return ratio / (1 + ratio)


def _moments(slopes: Sequence[float]) -> tuple[float, float]:
    """The mean, shrunk by what its standard error leaves of it, and the variance."""
    count = len(slopes)
    mean = math.fsum(slopes) / count
    if count < 2 or mean == 0:
        return mean, 0.0
    variance = math.fsum((slope - mean) ** 2 for slope in slopes) / (count - 1)
    return mean * mean**2 / (mean**2 + variance / count), variance
