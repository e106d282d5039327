"""How much something rises, robustly: Sen's slope pooled over strata.

The median of the slopes of all pairs within a stratum (Theil 1950, Sen 1968), with the interval
that follows from the variance of Kendall's S summed over the strata, as Hirsch, Slack and Smith
(1982) do over seasons. Neither an outlier nor a level that differs between strata moves it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Of 99.9 %: a sweep is judged by two trends, and thousands of sweeps are clean.
_Z = 3.29


@dataclass(frozen=True)
class Rise:
    """What is gained from x = 0 to x = 1, with its 99.9 % interval."""

    value: float
    low: float
    high: float


def pooled_rise(
    strata: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> Rise | None:
    """The common slope of y over x in strata (x [n], y [n]); None: too few pairs for an interval.

    Pairs of equal x count for nothing.
    """
    slopes: list[NDArray[np.float64]] = []
    variance = 0.0
    for x, y in strata:
        first, second = np.triu_indices(len(x), k=1)
        run = x[second] - x[first]
        kept = run != 0
        slopes.append((y[second] - y[first])[kept] / run[kept])
        variance += len(x) * (len(x) - 1) * (2 * len(x) + 5) / 18
    pairs = np.sort(np.concatenate(slopes)) if slopes else np.empty(0)
    reach = _Z * math.sqrt(variance)
    if reach >= len(pairs):
        return None
    low = int((len(pairs) - reach) / 2)
    return Rise(
        value=float(np.median(pairs)),
        low=float(pairs[low]),
        high=float(pairs[len(pairs) - 1 - low]),
    )
