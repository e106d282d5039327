"""The folder of a bundle under construction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exporters.durable_files import sha256_of
from exporters.errors import ContractError, ExportError
from exporters.manifest import MANIFEST_NAME, BundleFile, FileRole, Manifest

# How far an export is: called with a stage's name, the steps done and the steps in all.
Progress = Callable[[str, int, int], None]


def describe(folder: Path, path: Path, role: FileRole) -> BundleFile:
    """A file's entry in the manifest."""
    return BundleFile(
        name=path.relative_to(folder).as_posix(),
        role=role,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )


def refuse_foreign_folder(out: Path) -> None:
    """Raises ExportError where writing a bundle would delete something else."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ExportError("a file is in the way of the bundle", file=out)
    if any(out.iterdir()) and not _is_bundle(out):
        raise ExportError(
            "this folder holds something other than a bundle",
            remedy="choose a new folder for the bundle",
            file=out,
        )


def _is_bundle(folder: Path) -> bool:
    """Whether the folder holds a bundle's files and nothing else."""
    try:
        manifest = Manifest.read(folder / MANIFEST_NAME)
    except ContractError:
        return False
    known = {MANIFEST_NAME, *(file.name for file in manifest.files)}
    return known >= {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
