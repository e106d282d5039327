"""How far an artifact's numbers are from the PyTorch model's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.gguf.adapter import write_adapter
from exporters.gguf.llama_engine import ENGINE_NAME, LlamaEngine
from exporters.lora.directions import direction, draw_seeds
from exporters.lora.layout import LoraLayout
from exporters.manifest import Architecture, Parity, Quantization, SlopeReference
from exporters.torch_reference import TorchReference

SEQUENCES = 2
TOKENS = 32  # at most; models with shorter contexts are compared on what they have
_DIRECTIONS_STREAM = 1
_DIRECTIONS_AT_ONCE = 4  # tangents are activations too: this bounds their memory
# The step at which central differences of an artifact are the most exact: small enough for the
# curvature, large enough for the rounding of the weights' and activations' arithmetic.
EPSILONS: dict[Quantization, float] = {
    "f32": 1e-3,
    "f16": 3e-3,
    "q8_0": 1e-2,
    "q4_0": 1e-2,
    "q4_k_m": 1e-2,
}


@dataclass(frozen=True)
class Reference:
    """The PyTorch model's numbers on random tokens."""

    sequences: NDArray[np.int64]  # [sequences, tokens + 1]
    seeds: list[int]  # one per direction
    loss: float
    slopes: NDArray[np.float64]  # [directions]

    def for_devices(self) -> SlopeReference | None:
        """What a device needs to be compared with the slopes; None without directions."""
        if not self.seeds:
            return None
        return SlopeReference(
            sequences=tuple(tuple(row) for row in self.sequences.tolist()),
            directions=tuple(self.seeds),
            slopes=tuple(self.slopes.tolist()),
        )


def random_sequences(architecture: Architecture, seed: int) -> NDArray[np.int64]:
    """Uniform token ids, int64 [SEQUENCES, tokens + 1]."""
    tokens = min(TOKENS, architecture.context_length)
    shape = (SEQUENCES, tokens + 1)
    return np.random.default_rng(seed).integers(architecture.vocabulary_size, size=shape)


def measure_reference(
    reference: TorchReference,
    sequences: NDArray[np.int64],
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


def measure_parity(
    reference: Reference,
    base: Path,
    architecture: Architecture,
    layout: LoraLayout,
    values: NDArray[np.float32],
    *,
    epsilon: float,
    on_progress: Callable[[int, int], None],
) -> Parity:
    """Evaluates the artifact by llama.cpp where the reference was evaluated by PyTorch.

    Raises:
        ExportError: llama.cpp does not load the artifact.
    """
    sequences, directions = reference.sequences, len(reference.seeds)
    with (
        tempfile.TemporaryDirectory(prefix="fwdllm-") as folder,
        LlamaEngine(base, tokens=sequences.shape[1] - 1) as engine,
    ):

        def loss_at(theta: NDArray[np.float32]) -> float:
            path = Path(folder) / "adapter.gguf"
            write_adapter(path, architecture, layout, theta)
            with engine.adapter(path):
                return engine.loss(sequences)

        on_progress(0, directions + 1)
        loss = loss_at(values)
        slopes = np.empty(directions)
        for index, seed in enumerate(reference.seeds):
            on_progress(index + 1, directions + 1)
            step = np.float32(epsilon) * direction(seed, layout.parameters)
            slopes[index] = (loss_at(values + step) - loss_at(values - step)) / (2 * epsilon)
        on_progress(directions + 1, directions + 1)
    return Parity(
        engine=ENGINE_NAME,
        sequences=sequences.shape[0],
        tokens=sequences.shape[1] - 1,
        reference_loss=reference.loss,
        artifact_loss=loss,
        relative_loss_difference=abs(loss - reference.loss) / reference.loss,
        directions=directions,
        epsilon=epsilon,
        slope_cosine=_cosine(reference.slopes, slopes) if directions else None,
        reference=reference.for_devices(),
    )


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float64).tiny))
