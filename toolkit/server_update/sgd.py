"""Plain SGD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import PositiveFloat

from exporters.contract import Part
from toolkit.gradient.estimate import Estimate
from toolkit.server_update.annealing import Annealing, decay
from toolkit.server_update.state import Plan, RoundState


class SgdStep(Part):
    """θ ← θ − rate · ĝ, decaying linearly, as FwdLLM publishes it (Xu et al., USENIX ATC 2024)."""

    wants_guide: ClassVar[bool] = False

    kind: Literal["sgd"] = "sgd"
    rate: PositiveFloat = 0.01
    annealing: Annealing = "linear"

    def plan(self, state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]) -> Plan:
        length = self.rate * decay(self.annealing, state)
        gradient_norm = estimate.gradient_norm
        return Plan(
            update=estimate.moved(state.replica.values, -length),
            memory=state.memory,
            gradient_norm=gradient_norm,
            values_norm=estimate.values_norm(state.replica.values),
            step_norm=length * gradient_norm,
        )
