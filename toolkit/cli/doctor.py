"""`fwdllm doctor`: is everything here that the main job needs, and do the devices work?"""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from toolkit.cli.console import out, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from android_harness.diagnosis.finding import Finding

_PACKAGES = ("torch", "transformers", "peft", "gguf", "llama-cpp-python", "adb-shell", "pandas")


def doctor(
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Also check these devices.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check this machine, and devices when given; exit code 1 when something is wrong."""
    from android_harness.diagnosis.adb_on_this_machine import diagnose_adb
    from android_harness.diagnosis.device import diagnose_device

    findings = [*_machine(), *diagnose_adb()]
    for spec in target or []:
        findings += diagnose_device(spec)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("check", "", Column("seen", overflow="fold"), Column("remedy"))
        for finding in findings:
            check, seen, remedy = map(escape, (finding.check, finding.seen, finding.remedy))
            table.add_row(check, _mark(finding), seen, remedy)
        out.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _mark(finding: Finding) -> str:
    if not finding.ok:
        return "[red]wrong[/]"
    return "[yellow]note[/]" if finding.remedy else "[green]ok[/]"


def _machine() -> list[Finding]:
    from android_harness.building.recipe import native_recipe
    from android_harness.diagnosis.finding import Finding

    def finding(check: str, ok: bool, seen: str, remedy: str) -> Finding:
        return Finding(check, ok, seen, "" if ok else remedy)

    python = platform.python_version()
    findings = [
        finding("python", sys.version_info >= (3, 11), python, "install Python 3.11 or newer")
    ]
    for package in _PACKAGES:
        try:
            findings.append(Finding(package, True, metadata.version(package)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(package, False, "missing", "make demo, or pip install -e ."))
    for program in ("cmake", "c++"):
        path = shutil.which(program)
        remedy = f"install {program} to build the runner"
        findings.append(finding(program, path is not None, path or "missing", remedy))
    runner = native_recipe().path
    findings.append(finding("native runner", runner.is_file(), str(runner), "fwdllm runner build"))
    return findings
