"""Examples as the native runner reads them: JSON Lines, one example a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.durable_files import write_atomically

NO_LOSS = -100


@dataclass(frozen=True)
class Example:
    """Token ids and, for each position, the id to predict after it or `NO_LOSS`."""

    tokens: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def target_ids(self) -> tuple[int, ...]:
        """The ids to predict, without the positions that carry no loss."""
        return tuple(target for target in self.targets if target != NO_LOSS)


def examples_text(examples: Sequence[Example]) -> str:
    """The content of the examples file."""
    lines = (
        json.dumps({"tokens": example.tokens, "targets": example.targets}) for example in examples
    )
    return "".join(f"{line}\n" for line in lines)


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Writes the examples file, atomically."""
    write_atomically(path, examples_text(examples))
