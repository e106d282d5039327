"""Which programs of fixed sizes a setting runs on an ExecuTorch bundle, padding included."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import PositiveInt

from device_bench.costs.setting import Setting
from exporters.contract import Part


class ProgramSize(Part):
    """The fixed sizes of a program, as in the bundle's manifest."""

    kind: Literal["loss", "tangent"]
    batch: PositiveInt
    length: PositiveInt
    positions: PositiveInt
    slots: PositiveInt

    @property
    def copies(self) -> int:
        """Copies of the batch that a run computes: that of a tangent has the point itself too."""
        return self.slots + (self.kind == "tangent")

    @property
    def tokens(self) -> int:
        """Of one copy."""
        return self.batch * self.length


def runs_of(
    programs: Sequence[ProgramSize], setting: Setting, positions: int
) -> Iterator[ProgramSize]:
    """The programs that run, one after another; none: no program computes the setting.

    As the runner chooses them (`chunks.cpp`): again and again the program that is cheapest in
    columns of tokens for each example that it holds.

    Args:
        positions: of each example that have a loss.
    """
    kind = "tangent" if setting.estimator == "tangent" else "loss"
    usable = [each for each in programs if each.kind == kind and each.length >= setting.tokens]
    if not usable:
        return
    # An example with more loss positions than any program has goes through several.
    most = max(program.positions for program in usable)
    parts = [min(most, positions - first) for first in range(0, positions, most)]
    needs = parts * setting.batch
    while needs:
        possible = [(each, held) for each in usable if (held := _held(each, needs))]
        program, held = min(
            possible,
            key=lambda each: (_repeats(each[0], setting) * _columns(each[0]) / each[1], -each[1]),
        )
        yield from [program] * _repeats(program, setting)
        needs = needs[held:]


def _columns(program: ProgramSize) -> int:
    return program.tokens * program.copies


def _repeats(program: ProgramSize, setting: Setting) -> int:
    """How often it runs until all columns were in its slots."""
    return math.ceil(setting.columns / program.slots)


def _held(program: ProgramSize, needs: Sequence[int]) -> int:
    """How many of the first examples it holds together, by the loss positions of each."""
    positions = 0
    for held, need in enumerate(needs[: program.batch]):
        positions += need
        if positions > program.positions:
            return held
    return min(program.batch, len(needs))
