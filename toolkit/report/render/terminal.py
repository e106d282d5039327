"""A report on a terminal: facts, findings and tables; of plots, what they show in a sentence."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from toolkit.report.content import Cell, Report, Section, Standing, Table, text_of

_STYLES: dict[Standing, str] = {
    "valid": "green",
    "suspect": "yellow",
    "invalid": "red",
    "expired": "dim",
}
_UNLIMITED = 10_000
_MOST_SQUEEZED = 1.5  # of a table's natural width
_HEADINGS = {2: "bold underline", 3: "bold"}


def print_report(report: Report, console: Console) -> None:
    """Prints the report as wide as the console is."""
    console.print(Text(report.title, "bold"))
    console.print(Text(report.made, "dim"))
    for section in report.sections:
        _section(section, console, 2)


def _section(section: Section, console: Console, level: int) -> None:
    console.print()
    console.print(Text(section.title, _HEADINGS.get(level, "italic")))
    for name, value in section.facts:
        console.print(Text.assemble((f"{name}: ", "dim"), _text(value)))
    for finding in section.findings:
        remedy = f" Remedy: {finding.remedy}." if finding.remedy else ""
        style = _STYLES[finding.standing]
        console.print(Text.assemble((finding.standing, style), f" {finding.words}.{remedy}"))
    for plot in section.plots:
        console.print(Text(f"{plot.title}. {plot.description}", "dim"))
    for table in section.tables:
        _table(table, console)
    for part in section.parts:
        _section(part, console, level + 1)


def _table(table: Table, console: Console) -> None:
    shown = RichTable(box=box.SIMPLE_HEAD)
    for column in table.columns:
        shown.add_column(
            Text(column.header), justify="right" if column.measures else "left", overflow="fold"
        )
    for row in table.rows:
        shown.add_row(*(_text(cell) for cell in row))
    console.print(Text(table.caption, "dim italic"))
    unlimited = console.options.update(max_width=_UNLIMITED)
    if console.measure(shown, options=unlimited).maximum <= _MOST_SQUEEZED * console.width:
        console.print(shown)
        return
    for row in table.rows:  # a paragraph each, since columns would be a few letters wide
        name, *values = zip(table.columns, row, strict=True)
        known = [(column.header, cell) for column, cell in values if text_of(cell)]
        pairs = (Text.assemble((f"{header} ", "dim"), _text(cell)) for header, cell in known)
        console.print(Text.assemble((text_of(name[1]), "bold"), ": ", Text(", ").join(pairs)))


def _text(cell: str | Cell) -> Text:
    style = "" if isinstance(cell, str) or cell.standing is None else _STYLES[cell.standing]
    return Text(text_of(cell), style)
