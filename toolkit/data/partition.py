"""Dividing a data set over devices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError


def iid_partition(examples: int, devices: int, seed: int) -> list[NDArray[np.int64]]:
    """Each device's example numbers: a random division into parts whose sizes differ by at most 1.

    Raises:
        DataError: there are fewer examples than devices.
    """
    if examples < devices:
        raise DataError(
            f"{examples} examples cannot be divided over {devices} devices",
            remedy="give more data or fewer devices",
        )
    order = np.random.default_rng(seed).permutation(examples).astype(np.int64)
    return [np.sort(part) for part in np.array_split(order, devices)]
