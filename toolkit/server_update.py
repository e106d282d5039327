"""How far the server moves the LoRA values along the forward gradient.

Every rule is a step length λ_t: θ ← θ − λ_t · ĝ. Because ĝ is a sum over probes, the update is
fully given by one coefficient per seed, −λ_t · slope_i / N, and replicas apply it without ĝ.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from exporters.contract import Part

Annealing = Literal["linear", "none"]


class TrustRatioStep(Part):
    """‖Δθ‖ = ρ_t · ‖θ‖: the step is a fixed share of the values' own length.

    Forward gradients of few probes have a norm of about sqrt(p/N) times the gradient's, which
    makes plain SGD run away; a relative step cannot.
    """

    kind: Literal["trust_ratio"] = "trust_ratio"
    ratio: PositiveFloat = 0.1
    annealing: Annealing = "linear"

    def length(self, *, round_number: int, rounds: int, values: float, gradient: float) -> float:
        """λ_t, given the norms of the values and of the gradient."""
        share = self.ratio * _decay(self.annealing, round_number, rounds)
        return share * values / gradient if gradient > 0 else 0.0


class SgdStep(Part):
    """λ_t = rate, as FwdLLM publishes it."""

    kind: Literal["sgd"] = "sgd"
    rate: PositiveFloat = 0.01
    annealing: Annealing = "linear"

    def length(self, *, round_number: int, rounds: int, values: float, gradient: float) -> float:
        """λ_t; the norms do not matter."""
        return self.rate * _decay(self.annealing, round_number, rounds)


UpdateRule = Annotated[TrustRatioStep | SgdStep, Field(discriminator="kind")]


def coefficients(slopes: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    """One coefficient per probe, float32 [probes]: −λ · slope / N, computed in float64."""
    return (slopes.astype(np.float64) * (-length / len(slopes))).astype(np.float32)


def _decay(annealing: Annealing, round_number: int, rounds: int) -> float:
    """The factor of round `round_number`, counted from 1: from 1 down to 1/rounds."""
    return 1 - (round_number - 1) / rounds if annealing == "linear" else 1.0
