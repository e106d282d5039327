"""How far a bundle's programs are from the PyTorch model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.executorch.engine import Engine, engine_name
from exporters.executorch.subject import Comparison
from exporters.lora.directions import direction
from exporters.manifest import Parity, Program
from exporters.parity_reference import Reference, cosine, relative_error

EPSILON = 1e-2  # of central differences, where a bundle has no tangents


def measure_parity(
    reference: Reference,
    comparison: Comparison,
    folder: Path,
    programs: Sequence[Program],
    backend: str,
    values: NDArray[np.float32],
    *,
    on_progress: Callable[[int, int], None],
) -> Parity:
    """Runs the programs of the fewest rows where the reference was evaluated by PyTorch.

    Raises:
        ExportError: the runtime cannot run the programs.
    """
    artifact = _Artifact(Engine(folder), comparison, programs, values)
    on_progress(0, 2)
    loss = artifact.loss()
    on_progress(1, 2)
    slopes = artifact.slopes(reference.seeds) if reference.seeds else None
    on_progress(2, 2)
    return Parity(
        engine=engine_name(backend),
        sequences=comparison.count,
        tokens=comparison.tokens,
        reference_loss=reference.loss,
        artifact_loss=loss,
        relative_loss_difference=abs(loss - reference.loss) / reference.loss,
        directions=len(reference.seeds),
        epsilon=None if artifact.has_tangents else EPSILON,
        slope_cosine=None if slopes is None else cosine(reference.slopes, slopes),
        slope_error=None if slopes is None else relative_error(slopes, reference.slopes),
        reference=reference.for_devices(),
    )


@dataclass(frozen=True)
class _Artifact:
    """A bundle's programs at some LoRA values, on the comparison's inputs."""

    engine: Engine
    comparison: Comparison
    programs: Sequence[Program]
    values: NDArray[np.float32]

    @property
    def has_tangents(self) -> bool:
        return any(each.kind == "tangent" for each in self.programs)

    def loss(self) -> float:
        """By a loss program, where there is one."""
        nowhere = np.zeros_like(self.values)[None]
        if any(each.kind == "loss" for each in self.programs):
            return float(self._losses(nowhere)[0])
        return float(self._tangents(nowhere)[0])

    def slopes(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Along the Rademacher directions of the seeds."""
        steps = np.stack([direction(seed, len(self.values)) for seed in seeds])
        if self.has_tangents:
            slots = self._smallest("tangent").slots
            parts = [steps[first : first + slots] for first in range(0, len(steps), slots)]
            return np.concatenate([self._tangents(part)[1:] for part in parts])
        moved = np.float32(EPSILON) * steps
        return (self._losses(moved) - self._losses(-moved)) / (2 * EPSILON)

    def _losses(self, offsets: NDArray[np.float32]) -> NDArray[np.float64]:
        """At the values plus each of the offsets, [offsets, parameters]."""
        program = self._smallest("loss")
        found = []
        for first in range(0, len(offsets), program.slots):
            some = offsets[first : first + program.slots]
            lora = np.resize(some, (program.slots, len(self.values))) + self.values
            total = self.engine.total(program, self.comparison.runs(program), {"lora": lora})
            found.append(total[: len(some)])
        return np.concatenate(found)

    def _tangents(self, steps: NDArray[np.float32]) -> NDArray[np.float64]:
        """The loss, and the slopes along at most as many steps as the program has slots."""
        program = self._smallest("tangent")
        directions = np.resize(steps, (program.slots, len(self.values)))
        lora = {"lora": self.values, "directions": directions}
        return self.engine.total(program, self.comparison.runs(program), lora)[: 1 + len(steps)]

    def _smallest(self, kind: str) -> Program:
        return min(
            (each for each in self.programs if each.kind == kind),
            key=lambda each: each.batch * each.length * each.slots,
        )
