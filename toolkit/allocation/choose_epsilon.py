"""The step of differences for a round on devices that were calibrated one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from device_bench.profiles.profile import Profile
from toolkit.allocation.contract import Allocation
from toolkit.allocation.working import working_backends


@dataclass(frozen=True)
class CalibratedEpsilon:
    """The step, and the lowest and highest of the `devices` that it is the median of."""

    epsilon: float
    lowest: float
    highest: float
    devices: int


def calibrated_epsilon(
    profiles: Sequence[Profile], allocation: Allocation
) -> CalibratedEpsilon | None:
    """The median of the steps that the working devices' profiles hold for the estimator.

    A run has one step, since all its slopes are to be of one function. None: no profile has one,
    as under tangents.
    """
    found = [
        backend.numerics.of(allocation.estimator)
        for backend in working_backends(profiles, allocation)
        if backend.numerics is not None
    ]
    steps = [each.epsilon for each in found if each is not None and each.epsilon is not None]
    if not steps:
        return None
    return CalibratedEpsilon(median(steps), min(steps), max(steps), len(steps))
