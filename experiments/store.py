"""The output folder: finished results, one file each, beside the runs that made them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from experiments.contract import AllocationResult, Experiment, MemoryResult, RunResult
from exporters.contract import Contract

_Found = TypeVar("_Found", bound=Contract)


class Store:
    """Results of one size; quick ones lie in a folder of their own."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self._folder = folder / ("quick" if quick else "full")
        self.runs = self._folder / "runs"

    def result(self, experiment: Experiment) -> RunResult | None:
        """The result of this very experiment; None where it is not finished or was another.

        Raises:
            ContractError: the file is not a result.
        """
        found = self._read(RunResult, experiment.name)
        return found if found is not None and found.experiment == experiment else None

    def memory(self) -> MemoryResult | None:
        return self._read(MemoryResult, "memory")

    def allocation(self) -> AllocationResult | None:
        return self._read(AllocationResult, "allocation")

    def save(self, result: RunResult | MemoryResult | AllocationResult) -> None:
        if isinstance(result, RunResult):
            name = result.experiment.name
        else:
            name = "memory" if isinstance(result, MemoryResult) else "allocation"
        self._folder.mkdir(parents=True, exist_ok=True)
        result.write(self._path(name))

    def _read(self, contract: type[_Found], name: str) -> _Found | None:
        path = self._path(name)
        return contract.read(path) if path.exists() else None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
