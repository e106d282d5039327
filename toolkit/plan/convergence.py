"""The convergence table: what each method spent until it reached an accuracy, counted in runs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from android_harness.job import Estimator
from device_bench.profiles.profile import Provenance
from exporters.contract import Contract, Part
from exporters.errors import ContractError


class ConvergenceRow(Part):
    """One run of a method, up to the first evaluation at or above the target accuracy.

    Counts are totals over all rounds and clients until then; of a run that did not reach the
    target, of the whole run. A method that backpropagates is one with `bp_steps`.
    """

    method: str = Field(min_length=1)
    target_accuracy: Annotated[float, Field(gt=0, le=1)]
    reached: bool = True
    seed: int | None = None
    rounds: PositiveInt
    clients: PositiveInt  # that work in a round
    batch: PositiveInt
    tokens: PositiveFloat  # mean length of the examples
    estimator: Estimator = "central"
    probes: NonNegativeInt = 0  # slopes along directions
    # Passes over a batch without perturbation, as an exact gradient of the head takes.
    forward_passes: NonNegativeInt = 0
    bp_steps: NonNegativeInt = 0  # forward and backward over a batch
    bytes_down: NonNegativeInt
    bytes_up: NonNegativeInt
    # How a round's probes are divided over the devices: for the smallest makespan, or equally.
    division: Literal["makespan", "uniform"] = "uniform"
    directions_per_pass: PositiveInt = 1
    # Peak memory of one client on the machine of the run; None: not measured.
    client_peak_bytes: PositiveInt | None = None
    provenance: Provenance = "measured"

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.probes and not self.forward_passes and not self.bp_steps:
            raise ValueError("a method takes probes, forward passes or backpropagation steps")
        return self

    @property
    def backpropagates(self) -> bool:
        return self.bp_steps > 0

    @property
    def head_only(self) -> bool:
        """Neither directions nor backpropagation: the exact gradient of a head alone."""
        return not self.probes and not self.bp_steps


class ConvergenceTable(Contract):
    """Runs of several methods on one task and model; several rows of a method are repetitions."""

    word: ClassVar[str] = "convergence table"

    task: str
    model: str
    source: str = ""  # what made the runs, so that they can be repeated
    rows: tuple[ConvergenceRow, ...] = Field(min_length=1)

    def priced_as(self, estimator: Estimator) -> Self:
        """The table as if all slopes had been measured by this estimator, with equal slopes."""
        rows = (row.model_copy(update={"estimator": estimator}) for row in self.rows)
        return self.model_copy(update={"rows": tuple(rows)})

    @model_validator(mode="after")
    def _methods_are_of_one_kind(self) -> Self:
        kinds: dict[str, tuple[bool, bool]] = {}
        for row in self.rows:
            kind = row.backpropagates, row.head_only
            if kinds.setdefault(row.method, kind) != kind:
                raise ValueError(f"the rows of {row.method} do different kinds of work")
        return self


def read_convergence(path: Path) -> ConvergenceTable:
    """Reads the table from JSON, or from CSV with the fields of `ConvergenceRow` as columns.

    An empty cell is an absent field.

    Raises:
        ContractError: the file is missing or malformed; the message names the line and the field.
    """
    if path.suffix.lower() != ".csv":
        return ConvergenceTable.read(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            cells = [
                {name: value for name, value in row.items() if value not in ("", None)}
                for row in csv.DictReader(file, restkey="(more cells than columns)")
            ]
    except OSError as error:
        raise ContractError(
            f"cannot read the convergence table: {error.strerror or error}", file=path
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ContractError("the convergence table is not CSV in UTF-8", file=path) from error
    if not cells:
        raise ContractError("the convergence table has no rows", file=path)
    rows = []
    for number, cell in enumerate(cells, start=2):
        try:
            rows.append(ConvergenceRow.model_validate(cell))
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(str(part) for part in problem["loc"]) or "row"
            raise ContractError(
                f"line {number} is not a row of a convergence table: {place}: {problem['msg']}",
                remedy="give the fields of docs/schemas/convergence.json as columns",
                file=path,
            ) from error
    try:
        return ConvergenceTable(task="", model="", source=str(path), rows=tuple(rows))
    except ValidationError as error:
        raise ContractError(error.errors()[0]["msg"], file=path) from error
