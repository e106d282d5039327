"""How far an artifact's numbers are from the PyTorch model's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.gguf.adapter import write_adapter
from exporters.gguf.llama_engine import ENGINE_NAME, LlamaEngine
from exporters.lora.directions import direction
from exporters.lora.layout import LoraLayout
from exporters.manifest import Architecture, GgufQuantization, Parity
from exporters.parity_reference import Reference, cosine, relative_error

# The step at which central differences of an artifact are the most exact: small enough for the
# curvature, large enough for the rounding of the weights' and activations' arithmetic.
EPSILONS: dict[GgufQuantization, float] = {
    "f32": 1e-3,
    "f16": 3e-3,
    "q8_0": 1e-2,
    "q4_0": 1e-2,
    "q4_k_m": 1e-2,
}


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
    assert sequences is not None
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
        slope_cosine=cosine(reference.slopes, slopes) if directions else None,
        slope_error=relative_error(slopes, reference.slopes) if directions else None,
        reference=reference.for_devices(),
    )
