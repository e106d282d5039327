"""What takes every replica from one version of the values to the next, bit for bit.

A replica holds the values θ and, where the server's rule has momentum, a second vector m. Version
t is the state after t rounds. All arithmetic is elementwise float32 in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exporters.lora.combination import Combination
from exporters.lora.support import ParameterLayout

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Overwrite:
    """Values that replace those from `offset` on: what no combination of directions expresses."""

    offset: int
    values: Values


@dataclass(frozen=True)
class RoundUpdate:
    """With `momentum` None: θ ← θ + Σ combinations.

    With momentum (keep, length): m ← keep · m + Σ combinations, then θ ← θ + length · m.
    Overwrites come last.
    """

    combinations: tuple[Combination, ...] = ()
    momentum: tuple[float, float] | None = None
    overwrites: tuple[Overwrite, ...] = ()


@dataclass(frozen=True)
class ReplicaState:
    """θ and m, float32 [parameters]; m is None until a rule with momentum made one."""

    values: Values
    memory: Values | None = field(default=None)

    def after(self, update: RoundUpdate, layout: ParameterLayout) -> ReplicaState:
        """The state one version later; this one is left as it is."""
        values = self.values.copy()
        memory = self.memory
        if update.momentum is None:
            for combination in update.combinations:
                combination.add_to(values, layout)
        else:
            keep, length = map(np.float32, update.momentum)
            memory = np.zeros_like(values) if memory is None else keep * memory
            for combination in update.combinations:
                combination.add_to(memory, layout)
            values += length * memory
        for overwrite in update.overwrites:
            values[overwrite.offset : overwrite.offset + len(overwrite.values)] = overwrite.values
        return ReplicaState(values, memory)
