"""FedYogi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from exporters.contract import Part
from toolkit.gradient.estimate import Estimate
from toolkit.protocol.exact import exact_norm
from toolkit.protocol.update import Overwrite, RoundUpdate
from toolkit.server_update.annealing import Annealing, decay
from toolkit.server_update.state import Plan, RoundState

_FIRST, _SECOND = "yogi:first", "yogi:second"


class YogiStep(Part):
    """FedYogi (Reddi et al., Adaptive federated optimization, ICLR 2021, Algorithm 2).

    With Δ = −ĝ: first ← β₁ first + (1 − β₁) Δ; second ← second − (1 − β₂) Δ² sign(second − Δ²);
    θ ← θ + rate · first / (√second + τ), element by element. `second` begins at τ². The moments
    stay on the server and the update is sent as values: no few directions express it.
    """

    wants_guide: ClassVar[bool] = False

    kind: Literal["yogi"] = "yogi"
    rate: PositiveFloat = 0.005
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)
    tau: PositiveFloat = 1e-3
    annealing: Annealing = "linear"

    def plan(self, state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]) -> Plan:
        values = state.replica.values
        delta = -estimate.gradient
        squared = np.square(delta)
        tau = np.float32(self.tau)
        first = state.memory.arrays.get(_FIRST, np.zeros_like(values))
        second = state.memory.arrays.get(_SECOND, np.full_like(values, tau * tau))
        first = np.float32(self.beta1) * first + np.float32(1 - self.beta1) * delta
        second = second - np.float32(1 - self.beta2) * squared * np.sign(second - squared)
        rate = np.float32(self.rate * decay(self.annealing, state))
        moved = values + rate * first / (np.sqrt(second) + tau)
        return Plan(
            update=RoundUpdate(overwrites=(Overwrite(0, moved),)),
            memory=state.memory.with_arrays(**{_FIRST: first, _SECOND: second}),
            gradient_norm=estimate.gradient_norm,
            values_norm=estimate.values_norm(values),
            step_norm=exact_norm(moved - values),
        )
