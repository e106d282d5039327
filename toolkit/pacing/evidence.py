"""What a pacing rule looks at, and what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporters.lora.support import ParameterLayout
from toolkit.gradient.forward_gradient import Measured


@dataclass(frozen=True)
class Evidence:
    """A round so far.

    Args:
        measured: every admitted answer of the round, oldest first, all increments together.
        along_slopes: one per client: the slope, on a batch that made none of `measured`, along
            the update that would be committed (`proposed_direction`). Below 0 the loss falls.
            Empty where the rule does not want them.
        increment: of the orders that were answered last, from 0.
        probes_so_far: slopes in `measured`.
        step_ratio: ρ of the proposed update (`Plan.step_ratio`).
    """

    measured: Sequence[Measured]
    along_slopes: Sequence[float]
    layout: ParameterLayout
    increment: int
    probes_so_far: int
    step_ratio: float = 0.0

    @property
    def clients(self) -> int:
        """How many different clients have answered."""
        return len({one.client for one in self.measured})


@dataclass(frozen=True)
class Decision:
    """Commit the proposed update, or ask for `more_probes` over all clients.

    Neither (`commit` False, `more_probes` 0): end the round without an update. The loop gives
    more probes to clients that are idle first, then to those that have answered. `statistic` is
    what was compared with the rule's threshold.
    """

    commit: bool
    more_probes: int
    statistic: float
    reason: str
