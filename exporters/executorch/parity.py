"""How far a bundle's programs are from the PyTorch model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    engine = Engine(folder)
    smallest = sorted(programs, key=lambda each: each.batch * each.length * each.slots)
    steps = np.stack(
        [direction(seed, len(values)) for seed in reference.seeds]
        or [np.zeros_like(values)]  # the loss alone
    )
    tangent = next((each for each in smallest if each.kind == "tangent"), None)
    loss_program = next((each for each in smallest if each.kind == "loss"), None)
    on_progress(0, len(steps))

    def losses(offsets: NDArray[np.float32]) -> NDArray[np.float64]:
        assert loss_program is not None
        found = []
        for first in range(0, len(offsets), loss_program.slots):
            some = offsets[first : first + loss_program.slots]
            slots = np.resize(some, (loss_program.slots, len(values))) + values
            total = engine.total(loss_program, comparison.runs(loss_program), {"lora": slots})
            found.append(total[: len(some)])
            on_progress(min(first, len(steps)), len(steps))
        return np.concatenate(found)

    epsilon = None
    if tangent is not None:
        rows = []
        for first in range(0, len(steps), tangent.slots):
            some = steps[first : first + tangent.slots]
            directions = np.resize(some, (tangent.slots, len(values)))
            inputs = {"lora": values, "directions": directions}
            total = engine.total(tangent, comparison.runs(tangent), inputs)
            loss = float(total[0])
            rows.append(total[1 : 1 + len(some)])
            on_progress(first, len(steps))
        slopes = np.concatenate(rows)
    else:
        epsilon = EPSILON
        step = np.float32(epsilon) * steps
        slopes = (losses(step) - losses(-step)) / (2 * epsilon)
    if loss_program is not None:
        loss = float(losses(np.zeros_like(steps[:1]))[0])
    on_progress(len(steps), len(steps))
    asked = len(reference.seeds)
    return Parity(
        engine=engine_name(backend),
        sequences=comparison.count,
        tokens=comparison.tokens,
        reference_loss=reference.loss,
        artifact_loss=loss,
        relative_loss_difference=abs(loss - reference.loss) / reference.loss,
        directions=asked,
        epsilon=epsilon,
        slope_cosine=cosine(reference.slopes, slopes) if asked else None,
        slope_error=relative_error(slopes, reference.slopes) if asked else None,
        reference=reference.for_devices(),
    )
