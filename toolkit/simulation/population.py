"""Simulated clients over one store of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.simulation.client import ClientOptions
from toolkit.simulation.prefix_cache import CachePolicy
from toolkit.simulation.token_store import TokenStore
from toolkit.training.contract import TrainingConfig


@dataclass(frozen=True)
class Population:
    """Who takes part: `lines` are each client's own; `held_out` (empty: no evaluation) is the
    server's.
    """

    learnt: TokenStore
    lines: Sequence[NDArray[np.int64]]
    held_out: TokenStore
    options: ClientOptions = field(default_factory=ClientOptions)
    cache: CachePolicy = field(default_factory=CachePolicy)

    def of_run(self, config: TrainingConfig) -> Population:
        """The clients as a run's configuration wants them."""
        return replace(self, options=self.options.of_run(config))


def client_names(clients: int) -> list[str]:
    """What simulated clients are called, in order."""
    digits = len(str(clients - 1))
    return [f"client-{number:0{digits}d}" for number in range(clients)]
