"""The PyTorch model's numbers on random tokens, for artifacts to be compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exporters.lora.directions import direction, draw_seeds
from exporters.lora.layout import LoraLayout
from exporters.manifest import SlopeReference

SEQUENCES = 2
TOKENS = 32  # at most; models with shorter contexts are compared on what they have
_DIRECTIONS_STREAM = 1
_DIRECTIONS_AT_ONCE = 4  # tangents are activations too: this bounds their memory


class Measured(Protocol):
    """A PyTorch model on random inputs, e.g. `TorchReference`."""

    def loss(self) -> float: ...

    def slopes(self, directions: NDArray[np.float32]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Reference:
    """The PyTorch model's numbers on random tokens."""

    sequences: NDArray[np.int64] | None  # [sequences, tokens + 1] of a language model
    seeds: list[int]  # one per direction
    loss: float
    slopes: NDArray[np.float64]  # [directions]

    def for_devices(self) -> SlopeReference | None:
        """What a device needs to be compared with the slopes; None where it cannot be."""
        if not self.seeds or self.sequences is None:
            return None
        return SlopeReference(
            sequences=tuple(tuple(row) for row in self.sequences.tolist()),
            directions=tuple(self.seeds),
            slopes=tuple(self.slopes.tolist()),
        )


def random_sequences(vocabulary_size: int, longest: int, seed: int) -> NDArray[np.int64]:
    """Uniform token ids, int64 [SEQUENCES, tokens + 1], of at most `longest` tokens."""
    shape = (SEQUENCES, min(TOKENS, longest) + 1)
    return np.random.default_rng(seed).integers(vocabulary_size, size=shape)


def measure_reference(
    reference: Measured,
    sequences: NDArray[np.int64] | None,
    layout: LoraLayout,
    *,
    directions: int,
    seed: int,
    on_progress: Callable[[int, int], None],
) -> Reference:
    """The loss, and the exact slope along each of `directions` Rademacher directions."""
    seeds = draw_seeds(seed, _DIRECTIONS_STREAM, directions) if directions else []
    on_progress(0, directions + 1)
    loss = reference.loss()
    slopes = np.empty(directions)
    for first in range(0, directions, _DIRECTIONS_AT_ONCE):
        on_progress(first + 1, directions + 1)
        some = slice(first, first + _DIRECTIONS_AT_ONCE)
        slopes[some] = reference.slopes(
            np.stack([direction(each, layout.parameters) for each in seeds[some]])
        )
    on_progress(directions + 1, directions + 1)
    return Reference(sequences, seeds, loss, slopes)


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Of the angle between two vectors of slopes."""
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float64).tiny))


def relative_error(slopes: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    """|slopes − exact| / |exact|, Euclidean."""
    tiny = np.finfo(np.float64).tiny
    return float(np.linalg.norm(slopes - exact) / max(np.linalg.norm(exact), tiny))
