"""A report on a terminal: facts, findings and tables; of plots, what they show in a sentence."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from toolkit.report.content import Cell, Report, Section, Standing, Table, printable, text_of

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
    """Prints the report as wide as the console is; texts cannot give the terminal orders."""
    console.print(_text(report.title, "bold"))
    console.print(_text(report.made, "dim"))
    for section in report.sections:
        _section(section, console, 2)


def _section(section: Section, console: Console, level: int) -> None:
    console.print()
    console.print(_text(section.title, _HEADINGS.get(level, "italic")))
    for name, value in section.facts:
        console.print(Text.assemble(_text(f"{name}:", "dim"), " ", _text(value)))
    for finding in section.findings:
        standing = _text(Cell(finding.standing, standing=finding.standing))
        remedy = f" Remedy: {finding.remedy}." if finding.remedy else ""
        console.print(Text.assemble(standing, " ", _text(f"{finding.words}.{remedy}")))
    for plot in section.plots:
        console.print(_text(f"{plot.title}. {plot.shows}", "dim"))
    for table in section.tables:
        _table(table, console)
    for part in section.parts:
        _section(part, console, level + 1)


def _table(table: Table, console: Console) -> None:
    shown = RichTable(box=box.SIMPLE_HEAD)
    for column in table.columns:
        shown.add_column(
            _text(column.header), justify="right" if column.measures else "left", overflow="fold"
        )
    for row in table.rows:
        shown.add_row(*(_text(cell) for cell in row))
    console.print(_text(table.caption, "dim italic"))
    unlimited = console.options.update(max_width=_UNLIMITED)
    if console.measure(shown, options=unlimited).maximum <= _MOST_SQUEEZED * console.width:
        console.print(shown)
        return
    # A paragraph for each row, since columns would be a few letters wide.
    headers = [column.header for column in table.columns]
    for name, *cells in table.rows:
        known = [
            Text.assemble(_text(header, "dim"), " ", _text(cell))
            for header, cell in zip(headers[1:], cells, strict=True)
            if text_of(cell)
        ]
        console.print(Text.assemble(_text(text_of(name), "bold"), ": ", Text(", ").join(known)))


def _text(content: str | Cell, style: str = "") -> Text:
    if isinstance(content, Cell) and content.standing is not None:
        style = _STYLES[content.standing]
    return Text(printable(text_of(content)), style)
