"""A gate without a scale: does the loss of fresh batches fall along the proposed update?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from exporters.contract import Part
from toolkit.gradient.coverage import Coverage
from toolkit.pacing.evidence import Decision, Evidence

_FEWEST_CLIENTS = 3


class SlopeTest(Part):
    """Commits when clients agree that the loss falls along the proposed update.

    The project's own rule. Before the server commits, every client measures one slope along the
    proposed update on a batch that it has not probed on. With mean and standard deviation over n
    clients, t = −mean / (deviation/√n), so that t > 0 means descent; the update is committed when
    t ≥ `threshold`. It compares the estimate's alignment with all the noise that matters, of
    directions and of batches, and does not change when the loss is scaled.

    Fewer than 3 slopes are no sample. Then the open-loop rule of FluxTune's authors decides,
    which needs no slopes: commit when the step ρ = ‖Δθ‖/‖θ‖ is at most `ratio_per_alignment` times
    the alignment √(N/p) that the probes can be expected to have.

    Not committed, the round asks for as many probes as t would need if it grew with the root of
    their number, at least a quarter and at most `growth` times what it has. At a cap the update is
    committed if its mean slope is downhill, else the round ends without one.
    """

    wants_along: ClassVar[bool] = True

    kind: Literal["slope_test"] = "slope_test"
    threshold: PositiveFloat = 2.0
    ratio_per_alignment: PositiveFloat = 1.0
    growth: float = Field(default=1.0, ge=0.25)
    most_increments: PositiveInt = 6
    most_probes: PositiveInt = 100_000

    def decide(self, evidence: Evidence) -> Decision:
        """The statistic is t, or (with fewer than 3 slopes) ρ over the alignment."""
        slopes = evidence.along_slopes
        if len(slopes) < _FEWEST_CLIENTS:
            return self._open_loop(evidence)
        t, mean = t_statistic(slopes), math.fsum(slopes) / len(slopes)
        if t >= self.threshold:
            reason = f"{len(slopes)} clients see the loss fall with t = {t:.3g}"
            return Decision(True, 0, t, reason)
        needed = (self.threshold / t) ** 2 - 1 if t > 0 else math.inf
        more = self._more(evidence, needed)
        if more:
            reason = f"t = {t:.3g} over {len(slopes)} clients is below {self.threshold:g}"
            return Decision(False, more, t, reason)
        if mean < 0:
            return Decision(True, 0, t, f"the round is as large as it may be, with t = {t:.3g}")
        return Decision(False, 0, t, f"the largest round still points uphill, with t = {t:.3g}")

    def _open_loop(self, evidence: Evidence) -> Decision:
        alignment = Coverage.of(evidence.measured, evidence.layout).alignment
        limit = self.ratio_per_alignment * alignment
        if alignment == 0:
            return Decision(False, 0, math.inf, "there are no probes")
        statistic = evidence.step_ratio / alignment
        if evidence.step_ratio <= limit:
            reason = f"a step of {evidence.step_ratio:.3g} suits an alignment of {alignment:.3g}"
            return Decision(True, 0, statistic, reason)
        more = self._more(evidence, (evidence.step_ratio / limit) ** 2 - 1)
        if more:
            reason = (
                f"a step of {evidence.step_ratio:.3g} needs more alignment than {alignment:.3g}"
            )
            return Decision(False, more, statistic, reason)
        return Decision(True, 0, statistic, "the round is as large as it may be")

    def _more(self, evidence: Evidence, needed: float) -> int:
        """Probes to ask for, where `needed` is a share of those there are; 0 at a cap."""
        if evidence.increment + 1 >= self.most_increments:
            return 0
        share = min(max(needed, 0.25), self.growth)
        wanted = max(1, math.ceil(share * evidence.probes_so_far))
        return max(0, min(wanted, self.most_probes - evidence.probes_so_far))


def t_statistic(slopes: Sequence[float]) -> float:
    """−mean over its standard error: above 0 downhill; ±infinity where all slopes are equal."""
    count = len(slopes)
    mean = math.fsum(slopes) / count
    variance = math.fsum((slope - mean) ** 2 for slope in slopes) / (count - 1)
    if variance == 0:
        return math.copysign(math.inf, -mean) if mean else 0.0
    return -mean / math.sqrt(variance / count)
