"""What the server asks of a client, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from android_harness.job import Estimator
from exporters.lora.combination import Combination, DirectionName
from exporters.lora.directions import Distribution
from exporters.lora.support import Support
from toolkit.protocol.update import ReplicaState, RoundUpdate, Values


@dataclass(frozen=True)
class CatchUp:
    """The updates that a client lacks, in order: from version `since` to the order's."""

    since: int
    updates: tuple[RoundUpdate, ...]

    def missing(self, held: int, version: int) -> tuple[RoundUpdate, ...] | None:
        """What leads from version `held` to `version`; None where these updates do not."""
        if not self.since <= held <= version or len(self.updates) != version - self.since:
            return None
        return self.updates[held - self.since :]


@dataclass(frozen=True)
class Snapshot:
    """The state itself, where that is smaller or the client's own is not the server's."""

    state: ReplicaState


@dataclass(frozen=True)
class Probes:
    """Directions to measure one slope each along; they evaluate `directions_per_pass` at once."""

    directions: tuple[DirectionName, ...]
    distribution: Distribution
    support: Support
    directions_per_pass: int


@dataclass(frozen=True)
class Along:
    """One slope along u = keep · m + Σ combinations, scaled to a root mean square of 1.

    The mean runs over the parameters that are not 0 in u, so that ε moves each of them as far as
    it does along a Rademacher direction.
    """

    keep: float
    combinations: tuple[Combination, ...]


@dataclass(frozen=True)
class Order:
    """Probe at the values of version `version`, on these lines of the client's own examples.

    `increment` counts the orders of a round from 0; `values_sha256` fingerprints θ at `version`.
    `exact_head` asks for the gradient of the classification head as well.
    """

    round_number: int
    increment: int
    version: int
    sync: CatchUp | Snapshot
    values_sha256: str
    batch: tuple[int, ...]
    estimator: Estimator
    epsilon: float
    probes: Probes | None = None
    along: Along | None = None
    exact_head: bool = False


@dataclass(frozen=True)
class Answer:
    """What a client measured for an order.

    `slopes` float32 [directions of the order] in their order, empty without probes; `loss` is the
    mean loss over all evaluations of the batch. `head_gradient` float32 [head's parameters].
    """

    round_number: int
    increment: int
    values_sha256: str
    slopes: Values
    loss: float
    along_slope: float | None
    head_gradient: Values | None
    seconds: float
    values_from: Literal["held", "updates", "snapshot"]


@dataclass(frozen=True)
class Failure:
    """Why there is no answer to an order.

    `stale_replica`: the client's state was not the server's; a snapshot will mend it.
    """

    round_number: int
    increment: int
    reason: str
    stale_replica: bool = False


@dataclass(frozen=True)
class Reply:
    """One client's outcome of one order."""

    client: str
    outcome: Answer | Failure
