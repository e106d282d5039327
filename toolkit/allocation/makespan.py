"""The fastest division of identical probes over devices of different speed.

Device i finishes its n-th probe at fixed_i + seconds_i · n. Because these times only grow with n,
N probes finish soonest when they take the N earliest completion times of all devices together,
and the makespan is the N-th of them. Finding it is a selection problem (Frederickson and Johnson,
1982): narrow an interval around the N-th time by bisection, then sort only the times inside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
Counts = NDArray[np.int64]

# Sorting this many completion times at the end costs less than further bisection.
_SMALL_POOL = 4096
_NEWTON_STEPS = 100


def minimum_makespan(
    seconds_per_probe: Seconds, fixed_seconds: Seconds, caps: Counts, probes: int
) -> Counts:
    """Probes per device, int64 [devices], with the smallest possible makespan.

    Args:
        seconds_per_probe: float64 [devices], above 0.
        fixed_seconds: float64 [devices], at least 0; paid once by a device that runs any probe.
        caps: int64 [devices], the most probes each device may run.
        probes: how many to divide, at least 1.

    Of equal completion times the device that comes first gets the probe.

    Raises:
        ValueError: the caps leave room for fewer than `probes`, or an argument is out of range.
    """
    _check(seconds_per_probe, fixed_seconds, caps, probes)
    caps = np.minimum(caps, probes)
    low, high = _bracket(seconds_per_probe, fixed_seconds, caps, probes)
    counts = _finished_by(low, seconds_per_probe, fixed_seconds, caps)
    more = _finished_by(high, seconds_per_probe, fixed_seconds, caps) - counts
    devices = np.repeat(np.arange(len(more)), more)
    rank_in_device = np.arange(len(devices)) - np.repeat(np.cumsum(more) - more, more)
    times = _completion(
        counts[devices] + rank_in_device + 1, seconds_per_probe[devices], fixed_seconds[devices]
    )
    chosen = np.argsort(times, kind="stable")[: probes - int(counts.sum())]
    return counts + np.bincount(devices[chosen], minlength=len(counts))


def makespan(seconds_per_probe: Seconds, fixed_seconds: Seconds, counts: Counts) -> float:
    """When the last of the devices that have probes is done, in seconds."""
    times = _completion(counts, seconds_per_probe, fixed_seconds)
    return float(np.max(times, where=counts > 0, initial=0.0))


def fractional_lower_bound(
    seconds_per_probe: Seconds,
    fixed_seconds: Seconds,
    caps: Counts,
    probes: int,
    *,
    reached: float,
) -> float:
    """The makespan if probes could be split at will: no integer division is faster.

    The smallest T with Σ min(cap_i, max(0, (T − fixed_i) / seconds_i)) ≥ probes. The sum is
    piecewise linear and grows with T, so Newton's method, kept inside a bracket, ends at it.

    Args:
        reached: the makespan of any integer division of the same probes, where the search starts.
    """
    _check(seconds_per_probe, fixed_seconds, caps, probes)
    low, high = 0.0, reached
    time = reached
    for _ in range(_NEWTON_STEPS):
        shares = np.clip((time - fixed_seconds) / seconds_per_probe, 0.0, caps)
        surplus = float(shares.sum()) - probes
        if surplus >= 0:
            high = time
        else:
            low = time
        moving = (shares > 0) & (shares < caps)
        slope = float(np.sum(1.0 / seconds_per_probe[moving]))
        step = time - surplus / slope if slope > 0 else time
        following = step if low < step < high else (low + high) / 2
        if abs(following - time) <= 1e-12 * high:
            break
        time = following
    return min(time, reached)


def _check(seconds_per_probe: Seconds, fixed_seconds: Seconds, caps: Counts, probes: int) -> None:
    if not (np.all(seconds_per_probe > 0) and np.all(np.isfinite(seconds_per_probe))):
        raise ValueError("seconds per probe must be positive and finite")
    if not (np.all(fixed_seconds >= 0) and np.all(np.isfinite(fixed_seconds))):
        raise ValueError("fixed seconds must be finite and not negative")
    if np.any(caps < 0) or probes < 1:
        raise ValueError("caps must not be negative, and there must be at least one probe")
    # In floating point, because caps near 2**63 would overflow an integer sum.
    if float(np.minimum(caps, probes).sum(dtype=np.float64)) < probes:
        raise ValueError(f"the caps leave room for {int(caps.sum())} probes of {probes}")


def _completion(counts: Counts, seconds_per_probe: Seconds, fixed_seconds: Seconds) -> Seconds:
    return fixed_seconds + seconds_per_probe * counts


def _finished_by(
    time: float, seconds_per_probe: Seconds, fixed_seconds: Seconds, caps: Counts
) -> Counts:
    """How many probes each device has finished at `time`; exact, whatever the division rounds."""
    estimate = np.floor((time - fixed_seconds) / seconds_per_probe)
    counts = np.clip(estimate, 0, caps).astype(np.int64)
    late = _completion(counts, seconds_per_probe, fixed_seconds) > time
    counts -= late & (counts > 0)
    early = _completion(counts + 1, seconds_per_probe, fixed_seconds) <= time
    return counts + (early & (counts < caps))


def _bracket(
    seconds_per_probe: Seconds, fixed_seconds: Seconds, caps: Counts, probes: int
) -> tuple[float, float]:
    """An interval (low, high]: fewer than `probes` are finished at low, enough at high."""

    def finished(time: float) -> int:
        return int(_finished_by(time, seconds_per_probe, fixed_seconds, caps).sum())

    low, finished_low = 0.0, 0
    high = probes / float(np.sum(1.0 / seconds_per_probe))
    finished_high = finished(high)
    while finished_high < probes:
        low, finished_low = high, finished_high
        high *= 2
        finished_high = finished(high)
    largest_pool = max(_SMALL_POOL, len(caps))
    while finished_high - finished_low > largest_pool:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        finished_middle = finished(middle)
        if finished_middle < probes:
            low, finished_low = middle, finished_middle
        else:
            high, finished_high = middle, finished_middle
    return low, high
