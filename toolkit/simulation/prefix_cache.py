"""The states that enter the first adapted layer, kept per example.

The layers below the first adapted one are frozen, so their output for an example never changes.
Each example runs through them alone and without padding, so that its states do not depend on the
batch it was first seen in, and a run that is resumed computes what the first one did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import NonNegativeInt

from exporters.contract import Part


class CachePolicy(Part):
    """What is kept: the first states that come, until `bytes` are full; nothing is evicted.

    Examples that came later run through the frozen layers each time. Lines are drawn at random,
    so no other choice would be hit more often, and an evaluation cannot flush what training
    uses. `float16` holds twice as many as float32; states then carry its rounding (2⁻¹¹
    relative) whether they were cached or not, so that results do not depend on the bound.
    """

    bytes: NonNegativeInt = 2 << 30
    precision: Literal["exact", "float16"] = "exact"


class PrefixCache:
    """States by line number; threads may share it.

    Args:
        compute: line -> states [tokens, width].
    """

    def __init__(self, compute: Callable[[int], torch.Tensor], policy: CachePolicy) -> None:
        self._compute = compute
        self._policy = policy
        self._kept: dict[int, torch.Tensor] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """How much is held; at most the policy's bound."""
        return self._bytes

    def states(self, line: int) -> torch.Tensor:
        """The states of a line, [tokens, width]; of dtype float16 where the policy says so."""
        kept = self._kept.get(line)
        if kept is None:
            kept = self._compute(line)
            if self._policy.precision == "float16":
                kept = kept.half()
            self._keep(line, kept)
        return kept

    def _keep(self, line: int, states: torch.Tensor) -> None:
        size = states.numel() * states.element_size()
        with self._lock:
            if line not in self._kept and self._bytes + size <= self._policy.bytes:
                self._kept[line] = states
                self._bytes += size
