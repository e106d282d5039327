"""What a report says, whatever it is rendered to: sections of facts, findings, plots and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What can be said of a device's numbers: their verdict, or that they are too old to be used.
Standing = Literal["valid", "suspect", "invalid", "expired"]


@dataclass(frozen=True)
class Cell:
    """A text with what else is known of it.

    Attributes:
        sort: what its column is sorted by, where the text is not a number or begins with none.
        link: the anchor of the section that it names.
        standing: it is a verdict, and shown as such.
    """

    text: str
    sort: float | None = None
    link: str | None = None
    standing: Standing | None = None


@dataclass(frozen=True)
class Column:
    """`measures`: it holds numbers, which are aligned and sorted as such."""

    header: str
    measures: bool = False


def columns(*headers: str) -> tuple[Column, ...]:
    """Columns by their headers; those that begin with `#` hold numbers."""
    return tuple(Column(header.removeprefix("#"), header.startswith("#")) for header in headers)


@dataclass(frozen=True)
class Table:
    """Rows under columns; the first column says what the row is about."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    filterable: bool = False  # it is long, and its readers look for some of its rows


@dataclass(frozen=True)
class Plot:
    """A figure, and for who does not see it what it shows in a sentence and in numbers.

    Attributes:
        shows: what is seen in it, in sentences.
        legend: how it is drawn, for who sees it.
        draw: makes it; called within `drawing.style`.
    """

    title: str
    shows: str
    draw: Callable[[], Figure]
    data: Table
    legend: str = ""


@dataclass(frozen=True)
class Finding:
    """A reason not to trust numbers, in words, and what helps."""

    standing: Standing
    words: str
    remedy: str = ""


@dataclass(frozen=True)
class Section:
    """One subject. Its parts are sections of their own, a level down.

    Attributes:
        anchor: names it in links; unique in the report.
        folded: shown on demand, where the medium can.
    """

    title: str
    anchor: str
    facts: Sequence[tuple[str, str | Cell]] = ()
    findings: Sequence[Finding] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    parts: Sequence[Section] = ()
    folded: bool = False

    def in_brief(self) -> Section:
        """The facts and findings of the section and its parts, without plots and tables."""
        parts = [part.in_brief() for part in self.parts]
        kept = [part for part in parts if part.facts or part.findings or part.parts]
        return replace(self, plots=(), tables=(), parts=kept)


@dataclass(frozen=True)
class Report:
    """A whole report; `made` says when and by what."""

    title: str
    made: str
    sections: Sequence[Section]


def text_of(cell: str | Cell) -> str:
    """A cell as plain text."""
    return cell if isinstance(cell, str) else cell.text


def printable(text: str) -> str:
    """The text on one line, with a mark for what a terminal would obey and XML does not allow."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in " ".join(text.split())
    )
