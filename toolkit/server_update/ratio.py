"""How long a step may be, as a share of the values' own length."""

from __future__ import annotations

import math

from toolkit.server_update.annealing import Annealing, decay, squares
from toolkit.server_update.state import RoundState

# The first step, as a share of the values' norm, per unit of the alignment that the direction has
# with the gradient.
_RATIO_PER_ALIGNMENT = 0.8
# How much a run's steps may stretch the values if all were at right angles to them: beyond 2.5
# to 3 such runs have been seen to collapse.
_LARGEST_STRETCH = 2.0


def step_ratio(
    ratio: float | None,
    annealing: Annealing,
    state: RoundState,
    *,
    alignment: float,
    memory_rounds: float = 1.0,
) -> float:
    """ρ_t: `ratio`, or what an alignment deserves, annealed.

    Steps ρ_t at right angles stretch ‖θ‖ by exp(½ Σ ρ_t²), and no more than `rounds` usual steps
    can be trusted with. Steps that repeat themselves over `memory_rounds` rounds, as those of a
    moving average do, stretch it as if ρ_t² were that many times as large, so they are shorter
    by its root.
    """
    if ratio is None:
        trusted = math.sqrt(2 * math.log(_LARGEST_STRETCH) / squares(annealing, state.rounds))
        ratio = min(_RATIO_PER_ALIGNMENT * alignment, trusted) / math.sqrt(memory_rounds)
    return ratio * decay(annealing, state)
