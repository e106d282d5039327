"""How far the server moves the LoRA values along the forward gradient.

Every rule is a step length λ_t: θ ← θ − λ_t · ĝ. Because ĝ is a sum over probes, the update is
fully given by one coefficient per seed, −λ_t · slope_i / N, and replicas apply it without ĝ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from exporters.contract import Part

Annealing = Literal["linear", "none"]

# The first step, as a share of the values' norm, per unit of the alignment sqrt(N/p) that N
# probes of p parameters have with the gradient.
_RATIO_PER_ALIGNMENT = 0.8
# How much a run's steps may stretch the values if all were at right angles to them: beyond 2.5
# to 3 such runs have been seen to collapse.
_LARGEST_STRETCH = 2.0


@dataclass(frozen=True)
class RoundState:
    """What a step length depends on; rounds count from 1, norms are Euclidean."""

    round_number: int
    rounds: int
    probes: int
    parameters: int
    values_norm: float
    gradient_norm: float


class TrustRatioStep(Part):
    """‖Δθ‖ = ρ_t · ‖θ‖: the step is a share of the values' own length.

    Forward gradients of few probes have a norm of about sqrt(p/N) times the gradient's, which
    makes plain SGD run away; a relative step cannot. `ratio` is ρ_1; None takes what the number
    of probes deserves, and no more than `rounds` such steps can be trusted with.
    """

    kind: Literal["trust_ratio"] = "trust_ratio"
    ratio: PositiveFloat | None = None
    annealing: Annealing = "linear"

    def length(self, state: RoundState) -> float:
        """λ_t; 0 where the gradient is 0."""
        ratio = self._usual_ratio(state) if self.ratio is None else self.ratio
        share = ratio * _decay(self.annealing, state)
        return share * state.values_norm / state.gradient_norm if state.gradient_norm > 0 else 0.0

    def _usual_ratio(self, state: RoundState) -> float:
        alignment = math.sqrt(state.probes / state.parameters)
        # Steps ρ_t at right angles stretch ‖θ‖ by exp(½ Σ ρ_t²).
        squares = state.rounds / 3 if self.annealing == "linear" else float(state.rounds)
        trusted = math.sqrt(2 * math.log(_LARGEST_STRETCH) / squares)
        return min(_RATIO_PER_ALIGNMENT * alignment, trusted)


class SgdStep(Part):
    """λ_t = rate, as FwdLLM publishes it."""

    kind: Literal["sgd"] = "sgd"
    rate: PositiveFloat = 0.01
    annealing: Annealing = "linear"

    def length(self, state: RoundState) -> float:
        """λ_t; the norms do not matter."""
        return self.rate * _decay(self.annealing, state)


UpdateRule = Annotated[TrustRatioStep | SgdStep, Field(discriminator="kind")]


def coefficients(slopes: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    """One coefficient per probe, float32 [probes]: −λ · slope / N, computed in float64."""
    return (slopes.astype(np.float64) * (-length / len(slopes))).astype(np.float32)


def _decay(annealing: Annealing, state: RoundState) -> float:
    """The factor of the round: from 1 in the first down to 1/rounds in the last."""
    return 1 - (state.round_number - 1) / state.rounds if annealing == "linear" else 1.0
