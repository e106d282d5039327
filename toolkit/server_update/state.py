"""What a rule is given, and what it makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.protocol.update import ReplicaState, RoundUpdate
from toolkit.server_update.memory import ServerMemory


@dataclass(frozen=True)
class RoundState:
    """Where the run stands: `round_number` of `rounds`, counted from 1, and the state before it."""

    round_number: int
    rounds: int
    replica: ReplicaState
    memory: ServerMemory = field(default_factory=ServerMemory)


@dataclass(frozen=True)
class Plan:
    """A round's update, the memory after it, and the Euclidean norms that led to it.

    `step_norm` is the length of the update; `values_norm` is ‖θ‖ over what is trained.
    """

    update: RoundUpdate
    memory: ServerMemory
    gradient_norm: float
    values_norm: float
    step_norm: float

    @property
    def step_ratio(self) -> float:
        """ρ: the step as a share of the values; 0 where these are 0."""
        return self.step_norm / self.values_norm if self.values_norm > 0 else 0.0
