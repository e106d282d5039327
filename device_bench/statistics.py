"""Summaries of what was measured: robust ones of repeated timings, and the size of errors.

Timings have heavy right tails, so everything rests on the median. No value is ever dropped:
outliers are pointed out, and the median bears them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# The 95 % interval between order statistics exists from 6 values on: 1 − 2 · 0.5⁶ = 0.969.
MINIMUM_FOR_INTERVAL = 6
# Below this the bootstrap's interval of a median is too narrow (it only sees n distinct values).
MINIMUM_FOR_BOOTSTRAP = 20
# Iglewicz & Hoaglin (1993), How to Detect and Handle Outliers: modified z-scores above 3.5.
OUTLIER_THRESHOLD = 3.5
# The median absolute deviation times this estimates the standard deviation of normal data.
NORMAL_SCALE = 1.4826
_RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """The median of n values with its 95 % confidence interval [low, high]."""

    n: int
    median: float
    low: float
    high: float
    mad: float  # median absolute deviation from the median
    outliers: tuple[int, ...]  # indices of the values

    @property
    def relative_spread(self) -> float:
        """An outlier-proof coefficient of variation: 1.4826 · MAD / |median|."""
        return NORMAL_SCALE * self.mad / abs(self.median)


def summarise(values: Sequence[float]) -> Summary:
    """Summarises at least one value."""
    data = np.asarray(values, dtype=np.float64)
    low, high = median_interval(data)
    return Summary(
        n=len(data),
        median=float(np.median(data)),
        low=low,
        high=high,
        mad=float(stats.median_abs_deviation(data)),
        outliers=tuple(int(index) for index in np.flatnonzero(outliers(data))),
    )


def median_interval(data: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % confidence interval of the median of `data` [n].

    From `MINIMUM_FOR_BOOTSTRAP` values on, the percentile bootstrap (seeded, so that equal data
    give equal intervals); below, the distribution-free interval between order statistics (David
    & Nagaraja, Order Statistics, 2003, section 7.1). Below `MINIMUM_FOR_INTERVAL` values no
    interval has that confidence and the answer is the whole range.
    """
    if len(data) >= MINIMUM_FOR_BOOTSTRAP:
        interval = stats.bootstrap(
            (data,),
            np.median,
            n_resamples=_RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return float(interval.low), float(interval.high)
    ordered = np.sort(data)
    rank = max(int(stats.binom.ppf(0.025, len(data), 0.5)), 1)
    return float(ordered[rank - 1]), float(ordered[len(data) - rank])


def outliers(data: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values of `data` [n] have a modified z-score above `OUTLIER_THRESHOLD`.

    When more than half of the values are equal, every other value is an outlier.
    """
    distance = np.abs(data - np.median(data))
    scale = NORMAL_SCALE * np.median(distance)
    return distance > OUTLIER_THRESHOLD * scale


def root_mean_square(values: NDArray[np.float64]) -> float:
    """Of slopes, or of their errors, over directions [n]: nothing robust, each counts."""
    return float(np.sqrt(np.mean(np.square(values))))
