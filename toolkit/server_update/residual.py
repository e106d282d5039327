"""Slopes less what an earlier estimate of the gradient predicts of them.

A probe's slope minus the prediction v · m tells of the gradient minus m. Where m is near the
gradient, the forward gradient of such residuals varies less than that of the slopes themselves:
a control variate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.gradient.estimate import Estimate
from toolkit.gradient.forward_gradient import Measured, Values
from toolkit.gradient.projection import Projector


@dataclass(frozen=True)
class Predicted:
    """The probes of an estimate, with v · m for each: float64 [directions] per answer."""

    measured: Sequence[Measured]
    predictions: Sequence[NDArray[np.float64]]

    @classmethod
    def by(cls, memory: Values, estimate: Estimate) -> Predicted:
        projector = Projector(memory, estimate.layout)
        return cls(estimate.measured, [projector.whole(one) for one in estimate.measured])

    def regression(self) -> float:
        """b of least squares slope ≈ b · prediction, kept between 0 and 1."""
        pairs = [
            pair
            for one, own in zip(self.measured, self.predictions, strict=True)
            for pair in zip(one.slopes.astype(np.float64).tolist(), own.tolist(), strict=True)
        ]
        squares = math.fsum(prediction * prediction for _, prediction in pairs)
        products = math.fsum(slope * prediction for slope, prediction in pairs)
        return min(1.0, max(0.0, products / squares)) if squares > 0 else 0.0

    def residual(self, factor: float) -> list[Measured]:
        """The probes with slope − factor · prediction, in float32, in place of the slope."""
        return [
            replace(one, slopes=(one.slopes.astype(np.float64) - factor * own).astype(np.float32))
            for one, own in zip(self.measured, self.predictions, strict=True)
        ]


def mean_square(measured: Sequence[Measured]) -> float:
    """Of all slopes; 0 without any. For directions of variance 1 it estimates ‖gradient‖²."""
    squares = [slope**2 for one in measured for slope in one.slopes.astype(np.float64).tolist()]
    return math.fsum(squares) / len(squares) if squares else 0.0
