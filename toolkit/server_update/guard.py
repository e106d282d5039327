"""When a run has had its best, and going on would only harm it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field, NonNegativeFloat, PositiveInt

from exporters.contract import Part


@dataclass(frozen=True)
class HeldOut:
    """The held-out loss, in nats, of the values at `version`."""

    version: int
    loss: float


@dataclass(frozen=True)
class Verdict:
    """Whether to stop, and the version to keep (None: nothing was evaluated).

    `stretch` is Φ = exp(½ Σ ln(1 + ρ²)): by how much steps of ρ = ‖Δθ‖/‖θ‖ at right angles to
    θ have lengthened it.
    """

    stop: bool
    best_version: int | None
    stretch: float
    reason: str


class DivergenceGuard(Part):
    """Stops a run that has stretched its values too far, or whose held-out loss keeps rising.

    Without a relative scale, forward-gradient runs collapse to one class: re-implementers of
    FwdLLM (FluxTune) report the best accuracy at a stretch Φ of 2.4 to 3.1 and collapse beyond
    about 4.2.

    Args:
        most_stretch: the largest Φ; None: no limit.
        patience: evaluations in a row that are worse than the best one; None: no limit.
        tolerance: by how many nats an evaluation must exceed the best to count as worse.
    """

    most_stretch: float | None = Field(default=3.0, gt=1)
    patience: PositiveInt | None = 10
    tolerance: NonNegativeFloat = 0.02

    def assess(self, step_ratios: Sequence[float], evaluations: Sequence[HeldOut]) -> Verdict:
        """Judges a run by its log.

        Args:
            step_ratios: ρ of every round so far (`Plan.step_ratio`).
            evaluations: in the order of versions.
        """
        stretch = math.exp(0.5 * math.fsum(math.log1p(ratio**2) for ratio in step_ratios))
        finite = [one for one in evaluations if math.isfinite(one.loss)]
        best = min(finite, key=lambda one: (one.loss, one.version), default=None)
        reason = self._reason(stretch, evaluations, best)
        return Verdict(
            stop=bool(reason),
            best_version=None if best is None else best.version,
            stretch=stretch,
            reason=reason or "the run goes well",
        )

    def _reason(
        self, stretch: float, evaluations: Sequence[HeldOut], best: HeldOut | None
    ) -> str | None:
        if evaluations and not math.isfinite(evaluations[-1].loss):
            return f"the held-out loss is {evaluations[-1].loss}"
        if self.most_stretch is not None and not stretch <= self.most_stretch:
            return f"the steps have stretched the values {stretch:.3g} times"
        if self.patience is None or best is None:
            return None
        limit = best.loss + self.tolerance
        worse = 0
        for one in evaluations:
            worse = worse + 1 if one.version > best.version and not one.loss <= limit else 0
        if worse >= self.patience:
            return f"the held-out loss has been above its best for {worse} evaluations"
        return None
