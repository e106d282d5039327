"""A moving average of the forward gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from exporters.contract import Part
from exporters.lora.combination import Combination
from toolkit.gradient.estimate import Estimate
from toolkit.gradient.forward_gradient import combinations
from toolkit.protocol.exact import exact_norm
from toolkit.protocol.update import Overwrite, ReplicaState, RoundUpdate
from toolkit.server_update.annealing import Annealing
from toolkit.server_update.ratio import step_ratio
from toolkit.server_update.residual import Predicted
from toolkit.server_update.state import Plan, RoundState

_AVERAGE = "momentum"


class MomentumStep(Part):
    """m ← keep · m + (1 − keep) · ĝ, then θ ← θ − ρ_t ‖θ‖ m/‖m‖ (Polyak's heavy ball).

    Where the gradient turns slowly, m averages the noise of about (1 + keep)/(1 − keep) rounds.
    With `control_variate`, ĝ is made of what m does not predict: b · m plus the forward gradient of
    slope_i − b · v_i·m, with b the regression of the slopes on v_i·m. Up to terms of
    1/probes it has the same expectation, and it varies less the more m resembles the gradient, at
    no cost to clients.

    Replicas keep m themselves; with a robust aggregation, which directions do not express, the
    server keeps it and sends the values, without a control variate. `ratio` is ρ_1; None
    takes that of `TrustRatioStep` over the root of the rounds that m averages.
    """

    wants_guide: ClassVar[bool] = False

    kind: Literal["momentum"] = "momentum"
    keep: float = Field(default=0.9, ge=0, lt=1)
    control_variate: bool = True
    ratio: PositiveFloat | None = None
    annealing: Annealing = "linear"

    def plan(self, state: RoundState, estimate: Estimate, guide_slopes: Sequence[float]) -> Plan:
        values = state.replica.values
        values_norm = estimate.values_norm(values)
        memory = state.memory
        if estimate.linear:
            keep, added = self._averaging(state.replica, estimate)
            average = state.replica.after(RoundUpdate(added, (keep, 0.0)), estimate.layout).memory
            assert average is not None  # an update with momentum makes one
        else:
            before = memory.arrays.get(_AVERAGE, np.zeros_like(values))
            average = np.float32(self.keep) * before
            average += np.float32(1 - self.keep) * estimate.gradient
            memory = memory.with_arrays(**{_AVERAGE: average})
        norm = exact_norm(average)
        length = self._share(state, estimate) * values_norm / norm if norm > 0 else 0.0
        return Plan(
            update=RoundUpdate(added, momentum=(keep, -length))
            if estimate.linear
            else RoundUpdate(overwrites=(Overwrite(0, values - np.float32(length) * average),)),
            memory=memory,
            gradient_norm=estimate.gradient_norm,
            values_norm=values_norm,
            step_norm=length * norm,
        )

    def _averaging(
        self, replica: ReplicaState, estimate: Estimate
    ) -> tuple[float, tuple[Combination, ...]]:
        """(factor of m, what is added to it)."""
        fresh = 1 - self.keep
        if replica.memory is None or not self.control_variate:
            return self.keep, estimate.combinations(fresh)
        predicted = Predicted.by(replica.memory, estimate)
        factor = predicted.regression()
        residual = combinations(predicted.residual(factor), estimate.layout, fresh)
        return self.keep + fresh * factor, residual

    def _share(self, state: RoundState, estimate: Estimate) -> float:
        return step_ratio(
            self.ratio,
            self.annealing,
            state,
            alignment=estimate.coverage.alignment,
            memory_rounds=(1 + self.keep) / (1 - self.keep),
        )
