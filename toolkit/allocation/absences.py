"""More probes than wanted, so that enough come back from devices that may be away."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from toolkit.allocation.makespan import divide
from toolkit.allocation.options import Counts, Division, Options, Seconds

_STEPS = 20


@dataclass(frozen=True)
class SureDivision:
    """A division with the worth it was made for.

    `expected` is the worth that comes back on average; the division has the smallest makespan
    for that. `sure` says whether the worth wanted comes back with the probability asked for.
    """

    division: Division
    expected: float
    sure: bool


def divide_surely(
    options: Options,
    wanted: float,
    chance: Seconds,
    quantile: float,
    floors: Counts | None = None,
) -> SureDivision:
    """Divides so that `wanted` comes back with probability `quantile`, as far as the caps allow.

    Devices answer independently, and what comes back is taken as normal: its mean less z standard
    deviations is to be `wanted`. A quantile of 0.5 asks for the mean alone. The standard deviation
    depends on the division, so the mean asked for is raised until both agree.

    Args:
        chance: that each device answers, float64 [devices], above 0.
        quantile: from 0.5 to below 1 in effect; a lower one counts as 0.5.

    Raises:
        ValueError: as `divide`; the caps do not even leave room for `wanted` on average.
    """
    counted = weighted(options, chance)
    z = max(float(ndtri(quantile)), 0.0)
    goal = wanted
    division = divide(counted, goal, floors)
    for _ in range(_STEPS):
        worth = options.weights[division.option] * division.counts
        mean = float(np.sum(chance * worth))
        deviation = math.sqrt(float(np.sum(chance * (1 - chance) * worth**2)))
        if mean - z * deviation >= wanted * (1 - 1e-9):
            return SureDivision(division, goal, sure=True)
        # A little beyond, because more probes deviate more.
        higher = max(wanted + z * deviation, goal) * (1 + 1e-3)
        try:
            division = divide(counted, higher, floors)
        except ValueError:
            break  # no room: what was found last is what there is
        goal = higher
    return SureDivision(division, goal, sure=False)


def weighted(options: Options, chance: Seconds) -> Options:
    """The options with probes worth what comes back of them on average."""
    return replace(options, weights=options.weights * chance[options.device])
