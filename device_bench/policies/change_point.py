"""Where a series changes to a slower pace and stays there: throttling often comes in steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_LEAST_CHANGE = 1.05
# The best of all splits is looked at, so that chance has as many tries.
_SIGNIFICANCE = 0.001


def slower_from(seconds: NDArray[np.float64]) -> int | None:
    """The index from which on `seconds` [n], in the order of time, are slower; None: no change.

    The split in two that leaves the least absolute deviations from the medians of its sides, where
    the later side's median is higher by 5 % or more and a one-sided Mann-Whitney U test agrees
    (p < 0.001).
    """
    if len(seconds) < 2:
        return None
    costs = [_deviation(seconds[:at]) + _deviation(seconds[at:]) for at in range(1, len(seconds))]
    at = 1 + int(np.argmin(costs))
    before, after = seconds[:at], seconds[at:]
    if np.median(after) < _LEAST_CHANGE * np.median(before):
        return None
    test = stats.mannwhitneyu(before, after, alternative="less")
    return at if test.pvalue < _SIGNIFICANCE else None


def _deviation(seconds: NDArray[np.float64]) -> float:
    return float(np.sum(np.abs(seconds - np.median(seconds))))
