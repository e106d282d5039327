"""What the numeric gate asks of a backend: tokens and directions, and the answers if known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_harness.examples import NO_LOSS, Example, write_examples
from exporters.lora.combination import Seed
from exporters.lora.directions import draw_seeds
from exporters.manifest import Manifest

QUESTIONS_NAME = "numerics-examples.jsonl"
_DIRECTIONS = 8  # without exact slopes
_STREAM = 1


@dataclass(frozen=True)
class Questions:
    """Batches of an examples file, directions, and what is known of their loss and slopes.

    Steps are calibrated on the batch of `calibration`. `exact` are slopes and `reference_loss` the
    loss of the PyTorch model, `exported_loss` that of the artifact in the export's own engine, all
    of these very examples; None: not known.
    """

    examples: Path
    batch: tuple[int, ...]
    calibration: tuple[int, ...]
    tokens: int  # of either batch
    directions: tuple[Seed, ...]
    exact: tuple[float, ...] | None = None
    reference_loss: float | None = None
    exported_loss: float | None = None


def exported_questions(manifest: Manifest, folder: Path) -> Questions | None:
    """Those that the bundle has answers to, as a file in `folder`; None: it has none.

    The loss of `Parity` is the mean over the tokens of its `SlopeReference`: the export measures
    both on the same sequences. A program of fixed sizes that computes few losses in a run takes
    many runs for these: calibration asks for as many of the last losses as one run computes.
    """
    parity = manifest.parity
    if parity is None or parity.reference is None:
        return None
    reference = parity.reference
    sequences = [Example(row[:-1], row[1:]) for row in reference.sequences]
    in_a_run = [each.positions for each in manifest.programs if each.kind == "loss"]
    few = max(1, min(in_a_run) // len(sequences)) if in_a_run else None
    shorter = [] if few is None else [_with_last_losses(each, few) for each in sequences]
    examples = folder / QUESTIONS_NAME
    write_examples(examples, [*sequences, *shorter])
    batch = tuple(range(len(sequences)))
    return Questions(
        examples=examples,
        batch=batch,
        calibration=tuple(len(sequences) + line for line in batch) if shorter else batch,
        tokens=sum(len(each.tokens) for each in sequences),
        directions=reference.directions,
        exact=reference.slopes if any(reference.slopes) else None,
        reference_loss=parity.reference_loss,
        exported_loss=parity.artifact_loss,
    )


def _with_last_losses(example: Example, count: int) -> Example:
    kept = example.targets[-count:]
    none = (NO_LOSS,) * (len(example.targets) - len(kept))
    return Example(example.tokens, none + kept)


def random_questions(examples: Path, batch: Sequence[int], tokens: int, seed: int) -> Questions:
    """Some lines of a sweep's random examples, along directions drawn from its seed."""
    return Questions(
        examples=examples,
        batch=tuple(batch),
        calibration=tuple(batch),
        tokens=tokens,
        directions=tuple(draw_seeds(seed, _STREAM, _DIRECTIONS)),
    )
