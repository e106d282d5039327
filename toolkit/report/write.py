"""Writing a report in the format that its name ends in, or that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from exporters.durable_files import write_atomically
from toolkit.report.build import build_report
from toolkit.report.content import Report
from toolkit.report.gather import ReportError
from toolkit.report.render.html import render_html
from toolkit.report.render.markdown import render_markdown

FileFormat = Literal["html", "markdown"]

_BY_SUFFIX: dict[str, FileFormat] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
}


def _format_of(out: Path) -> FileFormat:
    """The format that a file's suffix names.

    Raises:
        ReportError: none of the known ones.
    """
    if out.suffix.lower() not in _BY_SUFFIX:
        raise ReportError(
            f"a report cannot be written as {out.suffix or 'a file without a suffix'}",
            remedy="let the name end in .html or .md, or give --format",
            file=out,
        )
    return _BY_SUFFIX[out.suffix.lower()]


def rendered(report: Report, written_as: FileFormat) -> str:
    """The report as the text of a file."""
    return render_html(report) if written_as == "html" else render_markdown(report)


def write_report(
    paths: Sequence[Path],
    out: Path,
    *,
    written_as: FileFormat | None = None,
    title: str = "fwdllm report",
) -> None:
    """Writes the report on what lies at `paths`.

    Args:
        written_as: None: what the suffix of `out` names.

    Raises:
        ReportError: a path is none of bundle, samples, profile, allocation, run, or `out` has no
            known suffix.
        ContractError: a file that it should be read from is damaged.
    """
    written_as = written_as or _format_of(out)
    report = build_report(paths, now=datetime.now(UTC), title=title)
    write_atomically(out, rendered(report, written_as))
