"""What a sampling rule knows."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.lora.directions import Distribution
from exporters.lora.support import ParameterLayout, Support
from toolkit.gradient.forward_gradient import Values


@dataclass(frozen=True)
class SamplingContext:
    """One increment of one round.

    Args:
        stream: of the seeds, at least 1 and below 2**62; a stream of its own per increment.
        guide: float32 [parameters], an earlier estimate of the gradient (the server's memory
            `GRADIENT`, or the replica's m); None where there is none yet.
        round_number: counted from 1.
    """

    run_seed: int
    stream: int
    layout: ParameterLayout
    distribution: Distribution
    support: Support
    guide: Values | None
    round_number: int = 1
