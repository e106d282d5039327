"""What the numeric gate asks of a backend: tokens and directions, and the answers if known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_harness.examples import Example, write_examples
from exporters.lora.combination import Seed
from exporters.lora.directions import draw_seeds
from exporters.manifest import Parity

QUESTIONS_NAME = "numerics-examples.jsonl"
_DIRECTIONS = 8  # without exact slopes
_STREAM = 1


@dataclass(frozen=True)
class Questions:
    """A batch of an examples file, directions, and what is known of their loss and slopes.

    `exact` are slopes and `reference_loss` the loss of the PyTorch model, `exported_loss` that of
    the artifact in the export's own engine, all of these very examples; None: not known.
    """

    examples: Path
    batch: tuple[int, ...]
    tokens: int  # of the batch
    directions: tuple[Seed, ...]
    exact: tuple[float, ...] | None = None
    reference_loss: float | None = None
    exported_loss: float | None = None


def exported_questions(parity: Parity | None, folder: Path) -> Questions | None:
    """Those that the bundle has answers to, as a file in `folder`; None: it has none.

    The loss of `Parity` is the mean over the tokens of its `SlopeReference`: the export measures
    both on the same sequences.
    """
    if parity is None or parity.reference is None:
        return None
    reference = parity.reference
    examples = folder / QUESTIONS_NAME
    write_examples(examples, [Example(row[:-1], row[1:]) for row in reference.sequences])
    return Questions(
        examples=examples,
        batch=tuple(range(len(reference.sequences))),
        tokens=sum(len(row) - 1 for row in reference.sequences),
        directions=reference.directions,
        exact=reference.slopes if any(reference.slopes) else None,
        reference_loss=parity.reference_loss,
        exported_loss=parity.artifact_loss,
    )


def random_questions(examples: Path, batch: Sequence[int], tokens: int, seed: int) -> Questions:
    """Some lines of a sweep's random examples, along directions drawn from its seed."""
    return Questions(
        examples=examples,
        batch=tuple(batch),
        tokens=tokens,
        directions=tuple(draw_seeds(seed, _STREAM, _DIRECTIONS)),
    )
