"""What devices can run, and what they do run, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
Counts = NDArray[np.int64]
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What devices can run. Arrays have one entry per option, grouped by device.

    `device` int64, rising from 0 without gaps; `seconds` per probe, float64 above 0; `fixed`
    seconds before the first probe, float64 not negative; `caps` int64, the most probes; `weights`
    float64 above 0, the worth of a probe.
    """

    device: Counts
    seconds: Seconds
    fixed: Seconds
    caps: Counts
    weights: Weights

    @classmethod
    def one_each(cls, seconds: Seconds, fixed: Seconds, caps: Counts) -> Options:
        """One option per device, whose probes are all worth 1."""
        return cls(np.arange(len(seconds)), seconds, fixed, caps, np.ones(len(seconds)))

    @property
    def devices(self) -> int:
        return int(self.device[-1]) + 1 if len(self.device) else 0

    def completion(self, counts: Counts | int) -> Seconds:
        """When each option has finished that many probes, float64 [options]."""
        return self.fixed + self.seconds * counts


@dataclass(frozen=True)
class Division:
    """The option that each device runs, and how many probes; int64 [devices] both."""

    option: Counts
    counts: Counts

    def makespan(self, options: Options) -> float:
        """When the last of the devices that have probes is done, in seconds."""
        times = options.fixed[self.option] + options.seconds[self.option] * self.counts
        return float(np.max(times, where=self.counts > 0, initial=0.0))

    def worth(self, options: Options) -> float:
        return float(np.sum(options.weights[self.option] * self.counts))


def check(options: Options, wanted: float) -> None:
    """Refuses options and a worth that no division is defined for.

    Raises:
        ValueError: an argument is out of range, or the devices are not numbered in order.
    """
    if not len(options.device):
        raise ValueError("there is no device")
    if np.any(np.diff(options.device, prepend=-1) < 0) or np.any(
        np.diff(options.device, prepend=-1) > 1
    ):
        raise ValueError("devices must be numbered from 0 without gaps, their options together")
    for name, values in (("seconds per probe", options.seconds), ("weights", options.weights)):
        if not (np.all(values > 0) and np.all(np.isfinite(values))):
            raise ValueError(f"{name} must be positive and finite")
    if not (np.all(options.fixed >= 0) and np.all(np.isfinite(options.fixed))):
        raise ValueError("fixed seconds must be finite and not negative")
    if np.any(options.caps < 0) or not wanted > 0:
        raise ValueError("caps must not be negative, and there must be at least one probe")
