"""Which estimator suits a round on these devices: the one that is worth an exact round soonest.

A round of slopes with errors is worth a round of exact ones after (1 + e²) times its seconds
(`SlopeError.slopes_per_exact_one` says why).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from android_harness.job import Estimator
from device_bench.profiles.profile import Profile
from toolkit.allocation.contract import Allocation
from toolkit.allocation.working import working_backends
from toolkit.errors import AllocationError

# Where nothing else decides, an earlier one is taken.
PREFERENCE: tuple[Estimator, ...] = ("tangent", "central", "forward")
# The rounding of losses does not shrink when slopes do, in the course of a training and between
# kinds of text: on one q8_0 model the error of `forward` was 0.14, 0.35 and 0.72 by directions and
# text, that of tangents 0.03 to 0.05. So a difference must be cheaper by a third, not by a little.
DIFFERENCE_MARGIN = 1.5


def choose_estimator(
    profiles: Sequence[Profile], divide: Callable[[Estimator], Allocation]
) -> Allocation:
    """The allocation by the best estimator; its first notes say why.

    Every estimator is allocated; those that no device can run, or only as noise, are out. Of the
    others that with the smallest makespan · (1 + e²) is taken, where e² is the median over the
    devices that work in its allocation; that of a difference counts `DIFFERENCE_MARGIN` times. A
    device whose profile does not tell the error counts as exact under `tangent`, whose own error
    is rounding. Under differences it is left out of the median, and where no device tells, the
    error is unknown: such an estimator is taken only if all are, `central` before `forward`.

    Args:
        profiles: those that `divide` allocates.
        divide: the round's allocation by an estimator; raises AllocationError where the profiles
            have no price for it.

    Raises:
        AllocationError: no estimator can be allocated.
    """
    rated: list[_Rated] = []
    refused: dict[Estimator, AllocationError] = {}
    for estimator in PREFERENCE:
        try:
            rated.append(_rate(profiles, divide(estimator)))
        except AllocationError as error:
            refused[estimator] = error
    if not rated:
        raise _nothing_left(refused)
    known = [each for each in rated if each.slopes_per_exact_one is not None]
    chosen = min(known, key=lambda each: each.weighed_s) if known else rated[0]
    others = [each for each in rated if each is not chosen]
    notes = (
        f"auto took {chosen.account}",
        *(f"auto did not take {other.account}" for other in others),
        *(f"auto cannot take {estimator}: {error.message}" for estimator, error in refused.items()),
    )
    return chosen.allocation.model_copy(update={"notes": (*notes, *chosen.allocation.notes)})


@dataclass(frozen=True)
class _Rated:
    """A round by one estimator, and the median worth of its slopes; None: unknown.

    The profiles of `untold` of its `working` devices have no error of its slopes.
    """

    allocation: Allocation
    slopes_per_exact_one: float | None
    untold: int
    working: int

    @property
    def seconds(self) -> float:
        """Until the round is worth one of exact slopes that lasts the makespan."""
        return self.allocation.makespan_s * (self.slopes_per_exact_one or 1.0)

    @property
    def weighed_s(self) -> float:
        margin = 1.0 if self.allocation.estimator == "tangent" else DIFFERENCE_MARGIN
        return self.seconds * margin

    @property
    def account(self) -> str:
        """The estimator and its reckoning in words."""
        name, makespan_s = self.allocation.estimator, self.allocation.makespan_s
        if self.slopes_per_exact_one is None:
            return f"{name}: {makespan_s:.3g} s, the error of its slopes is not known"
        error = math.sqrt(self.slopes_per_exact_one - 1)
        text = f"{name}: {makespan_s:.3g} s · (1 + {error:.2g}²) = {self.seconds:.3g} s (modelled)"
        if name != "tangent":
            text += f", which count {DIFFERENCE_MARGIN:g} times"
        if self.untold:
            how = "taken as 0" if name == "tangent" else "not known"
            text += f"; the error is {how} on {self.untold} of {self.working} devices"
        return text


def _rate(profiles: Sequence[Profile], allocation: Allocation) -> _Rated:
    working = [device for device in allocation.devices if device.probes]
    errors = [
        backend.slope_error(allocation.estimator)
        for backend in working_backends(profiles, allocation)
    ]
    worths = [error.slopes_per_exact_one for error in errors if error is not None]
    untold = len(working) - len(worths)
    if allocation.estimator == "tangent":
        worths += [1.0] * untold
    return _Rated(allocation, median(worths) if worths else None, untold, len(working))


def _nothing_left(refused: dict[Estimator, AllocationError]) -> AllocationError:
    """One error for all; what every estimator fails of is said once."""
    errors = list(refused.values())
    if len({error.message for error in errors}) == 1:
        return errors[0]
    reasons = "; ".join(f"{estimator}: {error.message}" for estimator, error in refused.items())
    return AllocationError(f"no estimator can be allocated: {reasons}", remedy=errors[0].remedy)
