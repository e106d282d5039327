"""A report as Markdown, for issues, wikis and pull requests: tables instead of plots."""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit.report.content import Report, Section, Table, printable, text_of

# What means something to Markdown or to the HTML in it, in the middle of a line.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&!$@]|:(?=[\w+-]+:))")


def render_markdown(report: Report) -> str:
    """The report in GitHub's dialect; what its texts hold is shown, never interpreted."""
    lines = [f"# {_plain(report.title)}", "", _plain(report.made), ""]
    for section in report.sections:
        lines += _section(section, 2)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {_plain(section.title)}", "")
    if section.facts:
        yield from (f"- {_plain(name)}: {_plain(text_of(value))}" for name, value in section.facts)
        yield ""
    for finding in section.findings:
        remedy = f" Remedy: {_plain(finding.remedy)}." if finding.remedy else ""
        yield f"- **{finding.standing}** {_plain(finding.words)}.{remedy}"
    if section.findings:
        yield ""
    for plot in section.plots:
        yield from (f"**{_plain(plot.title)}.** {_plain(plot.shows)}", "")
        yield from _table(plot.data)
    for table in section.tables:
        yield from _table(table)
    for part in section.parts:
        yield from _section(part, level + 1)


def _table(table: Table) -> Iterator[str]:
    yield from (f"*{_plain(table.caption)}*", "")
    yield _row([column.header for column in table.columns])
    yield _row(["---:" if column.measures else "---" for column in table.columns], escape=False)
    for row in table.rows:
        yield _row([text_of(cell) for cell in row])
    yield ""


def _row(cells: list[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(_plain(cell) if escape else cell for cell in cells)} |"


def _plain(text: str) -> str:
    """The text on one line, as itself."""
    return _SPECIAL.sub(r"\\\1", printable(text))
