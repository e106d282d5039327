"""Estimators compared on one device: what a slope costs there, and how exact it is."""

from __future__ import annotations

from dataclasses import dataclass

from device_bench.numerics.contract import SlopeError
from device_bench.profiles.profile import ArmSummary, BackendProfile


@dataclass(frozen=True)
class EstimatorPrice:
    """The fastest arm of an estimator, and the error of its slopes; None: not measured."""

    arm: ArmSummary
    error: SlopeError | None

    @property
    def exact_seconds(self) -> float | None:
        """Seconds for slopes that are worth one exact slope."""
        if self.error is None:
            return None
        return self.arm.seconds_per_probe.value * self.error.slopes_per_exact_one


def estimator_prices(backend: BackendProfile) -> list[EstimatorPrice]:
    """Each estimator with the number of directions at once that is fastest for it.

    All of the same work: the largest batch · tokens at which the most estimators were measured
    moving all adapted layers. None where no arm moves them.
    """
    whole = [arm for arm in backend.arms if arm.layers is None]
    if not whole:
        return []
    estimators = {
        work: {arm.estimator for arm in whole if (arm.batch, arm.tokens) == work}
        for work in {(arm.batch, arm.tokens) for arm in whole}
    }
    chosen = max(estimators, key=lambda work: (len(estimators[work]), work[0] * work[1], work))
    arms = [arm for arm in whole if (arm.batch, arm.tokens) == chosen]
    return [
        EstimatorPrice(
            min(
                (arm for arm in arms if arm.estimator == estimator),
                key=lambda arm: arm.seconds_per_probe.value,
            ),
            backend.slope_error(estimator),
        )
        for estimator in dict.fromkeys(arm.estimator for arm in arms)
    ]
