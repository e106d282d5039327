"""Ways to divide a round's probes, in one interface, so that they can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from toolkit.allocation.absences import divide_surely
from toolkit.allocation.makespan import minimum_makespan
from toolkit.allocation.options import Counts, Options, Seconds


@dataclass(frozen=True)
class Devices:
    """What a policy knows of the devices. Arrays of one length, one entry per device.

    `seconds` per probe as predicted, `sigma` the standard deviation of their logarithm, `fixed`
    seconds before the first probe, `caps` the most probes, `availability` the chance that the
    device answers; all float64 but `caps`, which is int64.
    """

    seconds: Seconds
    fixed: Seconds
    sigma: Seconds
    availability: Seconds
    caps: Counts

    @classmethod
    def of(
        cls,
        seconds: Seconds,
        *,
        fixed: Seconds | float = 0.0,
        sigma: Seconds | float = 0.0,
        availability: Seconds | float = 1.0,
        caps: Counts | int = 2**40,
    ) -> Devices:
        """Single numbers hold for all devices."""
        shape = np.shape(seconds)
        return cls(
            np.asarray(seconds, dtype=np.float64),
            np.broadcast_to(np.asarray(fixed, dtype=np.float64), shape),
            np.broadcast_to(np.asarray(sigma, dtype=np.float64), shape),
            np.broadcast_to(np.asarray(availability, dtype=np.float64), shape),
            np.broadcast_to(np.asarray(caps, dtype=np.int64), shape),
        )

    def __len__(self) -> int:
        return len(self.seconds)


# (devices, probes) -> probes per device, int64 [devices]. It may hand out more than `probes`; a
# round ends when so many have come back.
Policy = Callable[[Devices, int], Counts]


def uniform(devices: Devices, probes: int) -> Counts:
    """Equal shares whatever the device, as FwdLLM's published code gives them."""
    return _apportion(np.ones(len(devices)), devices.caps, probes)


def proportional(devices: Devices, probes: int) -> Counts:
    """Shares in proportion to speed; blind to fixed seconds, and rounded by largest remainder."""
    return _apportion(1.0 / devices.seconds, devices.caps, probes)


def fastest(devices: Devices, probes: int) -> Counts:
    """Minimum makespan of the predicted seconds, for devices that all answer."""
    return minimum_makespan(devices.seconds, devices.fixed, devices.caps, probes)


def careful(quantile: float = 0.9) -> Policy:
    """Minimum makespan of the seconds at a quantile, with spare probes for who is away or late.

    A device counts with the chance that it answers and is in time, which is its availability
    times the quantile; the probes wanted are to come back with the probability `quantile`.
    """
    if not 0.5 <= quantile < 1:
        raise ValueError("the quantile is at least 0.5 and below 1")
    z = float(ndtri(quantile))

    def policy(devices: Devices, probes: int) -> Counts:
        present = np.flatnonzero((devices.availability > 0) & (devices.caps > 0))
        unsteady = devices.sigma[present] > 0
        chance = devices.availability[present] * np.where(unsteady, quantile, 1.0)
        options = Options.one_each(
            devices.seconds[present] * np.exp(devices.sigma[present] * z),
            devices.fixed[present],
            devices.caps[present],
        )
        counts = np.zeros(len(devices), dtype=np.int64)
        counts[present] = divide_surely(options, probes, chance, quantile).division.counts
        return counts

    return policy


def _apportion(parts: NDArray[np.float64], caps: Counts, probes: int) -> Counts:
    """Whole probes in proportion to the parts, by largest remainder, within the caps.

    What a cap cuts off goes to the others.

    Raises:
        ValueError: the caps leave room for too few.
    """
    caps = np.minimum(caps, probes)
    if int(caps.sum()) < probes:
        raise ValueError(f"the caps leave room for {int(caps.sum())} of {probes} probes")
    # The scale at which the capped parts add up to the probes: water filling.
    order = np.argsort(caps / parts, kind="stable")
    full = np.concatenate([[0], np.cumsum(caps[order])[:-1]])
    rest = np.cumsum(parts[order][::-1])[::-1]
    scales = (probes - full) / rest
    position = int(np.argmax(scales <= (caps / parts)[order])) if len(parts) else 0
    exact = np.minimum(parts * scales[position], caps)
    counts = np.minimum(np.floor(exact + 1e-9).astype(np.int64), caps)
    missing = probes - int(counts.sum())
    if missing > 0:
        remainder = np.where(counts < caps, exact - counts, -math.inf)
        counts[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return counts
