"""Imports run downwards: between the top folders, and between the subfolders of toolkit."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("exporters", "android_harness", "device_bench", "toolkit")
# Bottom up, as docs/architecture.md lists them.
SUBFOLDERS = (
    "errors", "data", "protocol", "gradient", "sampling", "privacy", "robust", "server_update",
    "pacing", "allocation", "plan", "exchange", "clients", "training", "federation", "simulation",
    "backprop", "report", "demo", "cli",
)  # fmt: skip


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


def test_no_subfolder_of_toolkit_imports_a_higher_one() -> None:
    toolkit = ROOT / "toolkit"
    assert {path.stem for path in toolkit.iterdir() if path.stem[0] != "_"} == set(SUBFOLDERS)
    for path in toolkit.rglob("*.py"):
        place = path.relative_to(toolkit).parts[0].removesuffix(".py")
        own = 0 if place == "__init__" else SUBFOLDERS.index(place)
        for module in imported(path):
            if module[0] == "toolkit" and len(module) > 1:
                assert SUBFOLDERS.index(module[1]) <= own, (path, ".".join(module))
