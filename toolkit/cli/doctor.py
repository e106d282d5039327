"""`fwdllm doctor`: is everything here that the main job needs?"""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from typing import Annotated, NamedTuple

import typer
from rich.table import Table

from exporters.errors import FwdllmError
from toolkit.cli.console import out, print_json
from toolkit.cli.options import JsonOption

_PACKAGES = ("torch", "transformers", "peft", "gguf", "llama-cpp-python", "adb-shell", "pandas")


class Finding(NamedTuple):
    """One check: what was looked for, whether it is fine, what was seen, what to do if not."""

    check: str
    ok: bool
    seen: str
    remedy: str = ""


def doctor(
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Also check these devices.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check this machine, and devices when given; exit code 1 when something is missing."""
    findings = [*_machine(), *(_device(spec) for spec in target or [])]
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        table = Table("check", "", "seen", "remedy")
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]missing[/]"
            remedy = "" if finding.ok else finding.remedy
            table.add_row(finding.check, mark, finding.seen, remedy)
        out.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _machine() -> list[Finding]:
    from android_harness.building.recipe import native_recipe

    python = platform.python_version()
    findings = [
        Finding("python", sys.version_info >= (3, 11), python, "install Python 3.11 or newer")
    ]
    for package in _PACKAGES:
        try:
            findings.append(Finding(package, True, metadata.version(package)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(package, False, "", "make demo, or pip install -e ."))
    for program in ("cmake", "c++"):
        path = shutil.which(program)
        findings.append(
            Finding(program, path is not None, path or "", f"install {program} to build the runner")
        )
    runner = native_recipe().path
    findings.append(Finding("native runner", runner.is_file(), str(runner), "fwdllm runner build"))
    return findings


def _device(spec: str) -> Finding:
    from android_harness.facts.device_facts import read_device_facts
    from android_harness.targets.open_target import open_target

    try:
        with open_target(spec) as target:
            facts = read_device_facts(target)
    except FwdllmError as error:
        return Finding(spec, False, error.message, error.remedy)
    return Finding(spec, True, facts.summary)
