"""Steps that are a share of the values' own length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import PositiveFloat

from exporters.contract import Part
from toolkit.gradient.estimate import Estimate
from toolkit.server_update.annealing import Annealing
from toolkit.server_update.ratio import step_ratio
from toolkit.server_update.state import Plan, RoundState


class TrustRatioStep(Part):
    """θ ← θ − ρ_t ‖θ‖ ĝ/‖ĝ‖, after LARS (You et al., 2017).

    Forward gradients of few probes have a norm of about sqrt(p/N) times the gradient's, which
    makes plain SGD run away; a relative step cannot. `ratio` is ρ_1; None takes what the number
    of probes deserves, and no more than `rounds` such steps can be trusted with.
    """

    wants_guide: ClassVar[bool] = False

    kind: Literal["trust_ratio"] = "trust_ratio"
    ratio: PositiveFloat | None = None
    annealing: Annealing = "linear"

    def plan(self, state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]) -> Plan:
        share = step_ratio(self.ratio, self.annealing, state, alignment=estimate.coverage.alignment)
        gradient_norm = estimate.gradient_norm
        values_norm = estimate.values_norm(state.replica.values)
        length = share * values_norm / gradient_norm if gradient_norm > 0 else 0.0
        return Plan(
            update=estimate.moved(state.replica.values, -length),
            memory=state.memory,
            gradient_norm=gradient_norm,
            values_norm=values_norm,
            step_norm=length * gradient_norm,
        )
