"""How long a device may take: predicted seconds as a log-normal variable.

ln(seconds) is normal around the prediction, with a standard deviation σ of its own for each
device. A device's whole share is taken to be slow or fast together, as heat and other load make
it, so σ does not shrink with the number of probes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np
from scipy.special import ndtr, ndtri

from device_bench.profiles.profile import ArmSummary, Interval
from toolkit.allocation.options import Seconds

_NORMAL_97_5 = 1.959964  # the 97.5 % point of the standard normal
_NORMAL_75 = 0.674490  # the median of |Z|


def interval_sigma(interval: Interval) -> float:
    """σ of a value whose 95 % interval is known."""
    if interval.low > 0:
        return math.log(interval.high / interval.low) / (2 * _NORMAL_97_5)
    return math.log(max(interval.high / interval.value, 1.0)) / _NORMAL_97_5


def spread_sigma(relative_spread: float) -> float:
    """σ of a log-normal with this coefficient of variation."""
    return math.sqrt(math.log1p(relative_spread**2))


def measured_sigma(arm: ArmSummary) -> float:
    """σ of the next share in a measured setting: of the median itself, and between repetitions."""
    return together(interval_sigma(arm.seconds_per_probe), spread_sigma(arm.relative_spread))


def modelled_sigma(arms: Sequence[ArmSummary], median_relative_error: float | None) -> float:
    """σ in a setting that only the cost model knows: its error, and the arms' median spread.

    An unknown error (a single arm) counts as none, so the caller has to warn.
    """
    spreads = [spread_sigma(arm.relative_spread) for arm in arms]
    spread = median(spreads) if spreads else 0.0
    return together(spread, (median_relative_error or 0.0) / _NORMAL_75)


def together(*sigmas: float) -> float:
    """σ of a product of independent factors."""
    return math.hypot(*sigmas)


def at_quantile(seconds: float, sigma: float, quantile: float) -> float:
    """What the device stays below with probability `quantile`."""
    return seconds * math.exp(sigma * float(ndtri(quantile)))


def late_probability(fixed: Seconds, work: Seconds, sigma: Seconds, deadline_s: float) -> Seconds:
    """Each device's probability of being done after the deadline, float64 [devices].

    Args:
        fixed: seconds that are certain; `work`: the predicted seconds of the share, which vary.
    """
    left = deadline_s - fixed
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log(np.maximum(left, 0.0) / work)
        # A share that ends at the deadline but for rounding is in time.
        certain = np.where(logarithm >= -1e-9, 0.0, 1.0)
        late = np.where(sigma > 0, ndtr(-logarithm / np.where(sigma > 0, sigma, 1.0)), certain)
    return np.where(work > 0, late, 0.0)


def nobody_late(probabilities: Iterable[float]) -> float:
    """The probability that every device is in time, if they are late independently."""
    return math.prod(1 - probability for probability in probabilities)
