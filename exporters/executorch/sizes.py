"""Which programs a bundle gets, and their fixed sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from exporters.errors import ExportError
from exporters.manifest import Architecture

Kind = Literal["loss", "tangent"]
KINDS: tuple[Kind, ...] = ("loss", "tangent")


@dataclass(frozen=True)
class Sizes:
    """Fixed sizes of a program.

    Args:
        batch: sequences.
        length: tokens of each.
        positions: where losses can be taken, over the whole batch.
        slots: copies of the LoRA of a `loss` program, directions of a `tangent` program.
    """

    batch: int
    length: int
    positions: int
    slots: int


@dataclass(frozen=True)
class ProgramRequest:
    """The programs to make: every kind for every batch and length, with each number of slots.

    Args:
        shapes: (batch, length).
        positions: `one` per sequence, as classification by a verbalizer needs; `all`, as language
            modelling does; or a number.
    """

    shapes: tuple[tuple[int, int], ...] = ((8, 64),)
    positions: str = "one"
    kinds: tuple[Kind, ...] = KINDS
    loss_slots: tuple[int, ...] = (2,)
    tangent_slots: tuple[int, ...] = (8,)

    def sizes(self, architecture: Architecture) -> dict[str, tuple[Kind, Sizes]]:
        """Kind and sizes of each program by the name of its method.

        Raises:
            ExportError: sizes are not positive, or longer than the model's context.
        """
        if architecture.classes is not None and self.positions != "one":
            raise ExportError(
                f"an encoder has one loss per sequence, not {self.positions}",
                remedy="leave --positions away",
            )
        programs: dict[str, tuple[Kind, Sizes]] = {}
        for batch, length in self.shapes:
            if length > architecture.context_length:
                raise ExportError(
                    f"sequences of {length} tokens exceed the model's context of "
                    f"{architecture.context_length}"
                )
            for kind in self.kinds:
                for slots in self.loss_slots if kind == "loss" else self.tangent_slots:
                    sizes = Sizes(batch, length, self._positions(batch, length), slots)
                    if min(sizes.batch, sizes.length, sizes.positions, sizes.slots) < 1:
                        raise ExportError("sizes, positions and slots are at least 1")
                    programs[method_name(kind, sizes)] = kind, sizes
        if not programs:
            raise ExportError("no program was asked for", remedy="give --sizes, e.g. 8x64")
        return programs

    def _positions(self, batch: int, length: int) -> int:
        if self.positions in ("one", "all"):
            return batch if self.positions == "one" else batch * length
        if self.positions.isdigit() and int(self.positions) <= batch * length:
            return int(self.positions)
        raise ExportError(
            f"cannot read the positions {self.positions!r}",
            remedy="write one, all, or a number of at most batch times length",
        )


def read_shapes(text: str) -> tuple[tuple[int, int], ...]:
    """`8x64,1x64` as pairs of batch and length.

    Raises:
        ExportError: the text is malformed.
    """
    parts = [re.fullmatch(r"(\d+)x(\d+)", part.strip()) for part in text.split(",")]
    if not all(parts):
        raise ExportError(
            f"cannot read the sizes {text!r}",
            remedy="write batch x length, several with commas: 8x64,1x64",
        )
    return tuple((int(part[1]), int(part[2])) for part in parts if part)


def method_name(kind: Kind, sizes: Sizes) -> str:
    """What a program's method is called."""
    return f"{kind}_b{sizes.batch}_t{sizes.length}_p{sizes.positions}_k{sizes.slots}"
