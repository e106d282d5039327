"""What the page is made of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A caption, column headers and rows of text."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """One bundle, sweep, profile, allocation or run."""

    kind: str
    title: str
    facts: Sequence[tuple[str, str]]
    plots: Sequence[str] = field(default_factory=tuple)  # inline SVG
    tables: Sequence[Table] = field(default_factory=tuple)


def figure(width: float = 7.2, height: float = 3.2) -> Figure:
    """A figure of the page's size in inches; made without pyplot, so nothing stays open."""
    return Figure(figsize=(width, height), layout="constrained")


def svg(drawn: Figure) -> str:
    """The figure as an <svg> element, without the XML prologue that HTML does not allow."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
