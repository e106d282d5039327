"""Convergence tables of this project's own experiments, which `fwdllm plan` has at hand."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from toolkit.plan.convergence import ConvergenceTable, read_convergence
from toolkit.plan.errors import PlanError

DEFAULT = "minilm-iid"


def table_names() -> list[str]:
    """Names of the tables, in order."""
    return sorted(path.name.removesuffix(".json") for path in _folder().iterdir())


def find_table(name: str) -> ConvergenceTable:
    """A table of the project by its name, or a .json or .csv file.

    Raises:
        PlanError: neither is there.
        ContractError: the file is malformed.
    """
    if name in table_names():
        return read_convergence(Path(str(_folder() / f"{name}.json")))
    if not Path(name).exists():
        raise PlanError(
            f"there is no convergence table {name}",
            remedy=f"give a .json or .csv file, or one of {', '.join(table_names())}",
        )
    return read_convergence(Path(name))


def _folder() -> Path:
    return Path(str(files("toolkit.plan") / "tables"))
