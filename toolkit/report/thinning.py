"""Fewer points where more would lie on each other and only make the file large."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

MOST_MARKS = 100
MOST_ARMS = 60  # rows of a plot; its table has all
_BUCKETS = 300

Number = TypeVar("Number", bound=np.generic)


def spread_out(values: NDArray[Number], most: int = MOST_MARKS) -> NDArray[Number]:
    """All values, or `most` of them at even distances in their order, both ends included."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(np.int64)]


def extremes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The places in `values` [n] that a line has to visit to keep every peak, in order."""
    if len(values) <= 2 * _BUCKETS:
        return np.arange(len(values))
    places = [
        bucket[[np.argmin(values[bucket]), np.argmax(values[bucket])]]
        for bucket in np.array_split(np.arange(len(values)), _BUCKETS)
    ]
    return np.unique(np.concatenate([*places, [0, len(values) - 1]]))
