"""Whether what a backend compiles with is here: packages and vendors' kits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from exporters.errors import ExportError

OF_THE_EXTRA = "install them with pip install 'fwdllm-toolkit[npu]'"


def need_packages(backend: str, modules: Sequence[str], remedy: str = OF_THE_EXTRA) -> None:
    """Raises ExportError, with the remedy, where a module cannot be imported."""
    missing = [module for module in modules if not _is_here(module)]
    if missing:
        raise ExportError(
            f"{backend} programs are compiled with packages that are not installed: "
            f"{', '.join(missing)}",
            remedy=remedy,
        )


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def need_kit(variable: str, kit: str, source: str, files: Sequence[str]) -> Path:
    """The folder of a vendor's kit.

    Args:
        variable: the environment variable that names the folder.
        source: where the kit is to be had.
        files: paths in the kit that are used.

    Raises:
        ExportError: the variable is not set, names no folder, or a file is missing in it.
    """
    named = os.environ.get(variable)
    if not named:
        raise ExportError(
            f"{kit} is needed, and {variable} is not set",
            remedy=f"unpack the kit of {source} and set {variable} to its folder",
        )
    folder = Path(named)
    if not folder.is_dir():
        raise ExportError(
            f"{variable} names no folder",
            remedy=f"unpack {kit} of {source} and set {variable} to its folder",
            file=folder,
        )
    for name in files:
        if not (folder / name).is_file():
            raise ExportError(
                f"{kit} is incomplete: {name} is missing",
                remedy=f"unpack the whole kit of {source} and set {variable} to its folder",
                file=folder / name,
            )
    return folder
