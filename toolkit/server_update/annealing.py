"""How steps shrink in the course of a run."""

from __future__ import annotations

from typing import Literal

from toolkit.server_update.state import RoundState

Annealing = Literal["linear", "none"]


def decay(annealing: Annealing, state: RoundState) -> float:
    """The factor of the round: linear goes from 1 in the first down to 1/rounds in the last."""
    return 1 - (state.round_number - 1) / state.rounds if annealing == "linear" else 1.0


def squares(annealing: Annealing, rounds: int) -> float:
    """Σ of the squared factors over a run, to leading order."""
    return rounds / 3 if annealing == "linear" else float(rounds)
