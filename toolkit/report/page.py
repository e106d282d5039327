"""The page: a section for each path, recognised by what lies there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, PackageLoader

from device_bench.profile import Profile
from device_bench.samples import SWEEP_NAME
from exporters.durable_files import write_atomically
from exporters.errors import FwdllmError
from exporters.manifest import MANIFEST_NAME, Bundle
from toolkit.allocation.contract import Allocation
from toolkit.report.allocation_section import allocation_section
from toolkit.report.bundle_section import bundle_section
from toolkit.report.profile_section import profile_section
from toolkit.report.run_section import run_section
from toolkit.report.samples_section import samples_section
from toolkit.report.section import Section
from toolkit.training.run_folder import RunFolder


class ReportError(FwdllmError):
    """A path holds nothing that the report knows."""


def write_report(paths: Sequence[Path], out: Path, *, title: str = "fwdllm report") -> None:
    """Writes the page with the sections in the order of `paths`.

    Raises:
        ReportError: a path is none of bundle, samples, profile, allocation, run.
        ContractError: a file that it should be read from is damaged.
    """
    environment = Environment(loader=PackageLoader("toolkit.report", "."), autoescape=True)
    html = environment.get_template("page.html.j2").render(
        title=title,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=metadata.version("fwdllm-toolkit"),
        sections=[_section(path) for path in paths],
    )
    write_atomically(out, html)


def _section(path: Path) -> Section:
    if (path / MANIFEST_NAME).is_file():
        return bundle_section(Bundle(path))
    if (path / SWEEP_NAME).is_file():
        return samples_section(path)
    if RunFolder(path).exists():
        return run_section(RunFolder(path))
    if path.is_file():
        fields = _fields(path)
        if "backends" in fields:
            return profile_section(Profile.read(path))
        if "makespan_s" in fields:
            return allocation_section(Allocation.read(path))
    raise ReportError(
        "this is no bundle, samples or run folder, and no profile or allocation file",
        remedy="give what fwdllm export, bench, profile, allocate or train wrote",
        file=path,
    )


def _fields(path: Path) -> set[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(content) if isinstance(content, dict) else set()
