"""Imports run downwards: between the top folders, and between the subfolders of three of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("exporters", "android_harness", "device_bench", "toolkit")
# Bottom up, as docs/architecture.md lists them; `__init__` may not import at all.
SUBFOLDERS = {
    "android_harness": (
        "host_folders", "host_process", "errors", "transfer_errors", "interruption", "target",
        "job", "records", "examples", "adb", "targets", "facts", "building", "pushing", "state",
        "telemetry", "runs", "fleet", "diagnosis", "fake_phone",
    ),
    "device_bench": (
        "errors", "statistics", "costs", "plans", "conditions", "numerics", "profiles", "samples",
        "policies", "fitting", "sweeps", "population",
    ),
    "toolkit": (
        "errors", "data", "protocol", "gradient", "sampling", "privacy", "robust", "server_update",
        "pacing", "allocation", "plan", "exchange", "clients", "training", "federation",
        "simulation", "backprop", "report", "demo", "cli",
    ),
}  # fmt: skip
# Not Python.
SOURCES = {"runner"}


def imported(path: Path) -> set[tuple[str, ...]]:
    """The modules that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(tuple(node.module.split(".")))
        elif isinstance(node, ast.Import):
            modules |= {tuple(alias.name.split(".")) for alias in node.names}
    return modules


def test_no_top_folder_imports_a_higher_one() -> None:
    for position, folder in enumerate(FOLDERS):
        for path in (ROOT / folder).rglob("*.py"):
            higher = {module[0] for module in imported(path)} & set(FOLDERS[position + 1 :])
            assert not higher, path


@pytest.mark.parametrize("folder", sorted(SUBFOLDERS))
def test_no_subfolder_imports_a_higher_one(folder: str) -> None:
    order = SUBFOLDERS[folder]
    there = {path.stem for path in (ROOT / folder).iterdir() if path.stem[0] != "_"}
    assert there - SOURCES == set(order)
    for path in (ROOT / folder).rglob("*.py"):
        place = path.relative_to(ROOT / folder).parts[0].removesuffix(".py")
        own = 0 if place == "__init__" else order.index(place)
        for module in imported(path):
            if module[0] == folder and len(module) > 1:
                assert order.index(module[1]) <= own, (path, ".".join(module))
