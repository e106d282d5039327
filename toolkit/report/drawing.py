"""Figures that follow the page's theme.

matplotlib draws with a few colours that nothing else has; in the SVG they become variables of the
page's stylesheet, so that one drawing is legible in light and in dark.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from device_bench.profiles.profile import Interval
from toolkit.report.content import Plot, printable

INK, SOFT, LINE = "#0a0a01", "#0a0a02", "#0a0a03"
# Series; they also differ in marker or line style.
FIRST, SECOND, THIRD, FOURTH = "#0a0a11", "#0a0a12", "#0a0a13", "#0a0a14"
SERIES = (FIRST, SECOND, THIRD, FOURTH)
_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    FOURTH: "var(--fourth)",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, selected and read aloud
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=SERIES),
    "patch.facecolor": FIRST,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "hatch.linewidth": 0.6,
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_LONGEST_LABEL = 32

ElementTree.register_namespace("", _SVG[1:-1])


@contextmanager
def style() -> Iterator[None]:
    """What figures of a report are drawn and written in."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The reader's browser has the fonts for names that matplotlib's own cannot write.
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        yield


def figure(height: float, width: float = 7.2) -> Figure:
    """A figure in inches; made without pyplot, so nothing stays open."""
    return Figure(figsize=(width, height), layout="constrained")


def label(text: str) -> str:
    """A text that a figure has room for."""
    line = printable(text)
    return line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """A row per name, the first on top, in a plot whose y axis counts rows from 0."""
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def note_row(axes: Axes, row: int, text: str) -> None:
    """A small text to the right of a row."""
    axes.annotate(
        text,
        (1, row),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=SOFT,
    )


def draw_intervals(axes: Axes, intervals: Sequence[Interval], *, legend: str | None = None) -> None:
    """A dot with its interval in each row."""
    axes.errorbar(
        [each.value for each in intervals],
        range(len(intervals)),
        xerr=[
            [each.value - each.low for each in intervals],
            [each.high - each.value for each in intervals],
        ],
        fmt="o",
        color=FIRST,
        capsize=2,
        label=legend,
    )


def logarithmic(axes: Axes, axis: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers, as many as its range has room for; call it last."""
    which: Axis
    if axis == "x":
        axes.set_xscale("log")
        which, (low, high) = axes.xaxis, axes.get_xlim()
    else:
        axes.set_yscale("log")
        which, (low, high) = axes.yaxis, axes.get_ylim()
    if high / low < 8:
        which.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    else:
        which.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    which.set_major_formatter(lambda value, _: f"{value:g}")
    which.set_minor_locator(NullLocator())


def svg(plot: Plot, anchor: str) -> str:
    """The plot as an <svg> element with an accessible name; its ids begin with `anchor`."""
    with style(), mpl.rc_context({"svg.hashsalt": anchor}):
        buffer = io.StringIO()
        plot.draw().savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
        _tidy(parent)
    title, description = ElementTree.Element(_SVG + "title"), ElementTree.Element(_SVG + "desc")
    title.text, description.text = printable(plot.title), printable(f"{plot.shows} {plot.legend}")
    title.set("id", f"{anchor}_title")
    description.set("id", f"{anchor}_desc")
    root[:0] = [title, description]
    root.set("role", "img")
    root.set("aria-labelledby", f"{anchor}_title")
    root.set("aria-describedby", f"{anchor}_desc")
    return ElementTree.tostring(root, encoding="unicode")


def _tidy(element: ElementTree.Element) -> None:
    """Colours by the theme, no ids that other figures have too, no digits that nobody sees."""
    if element.tag == _SVG + "g":
        element.attrib.pop("id", None)  # figure_1, axes_1, and so on in every figure
        _share_style(element)
    if _XLINK in element.attrib:
        element.set("href", element.attrib.pop(_XLINK))
    if drawn := element.get("style"):
        for colour, variable in _VARIABLES.items():
            drawn = drawn.replace(colour, variable)
        element.set("style", drawn)
    for name in ("x", "y", "d"):
        if value := element.get(name):
            element.set(name, " ".join(_rounded(word) for word in value.split()))


def _share_style(group: ElementTree.Element) -> None:
    """Markers that look alike say so once."""
    marks = group.findall(_SVG + "use")
    styles = {mark.get("style") for mark in marks}
    if len(marks) > 1 and len(styles) == 1 and None not in styles:
        group.set("style", marks[0].attrib["style"])
        for mark in marks:
            del mark.attrib["style"]


def _rounded(word: str) -> str:
    try:
        return f"{float(word):.2f}".rstrip("0").rstrip(".")
    except ValueError:  # a command of a path
        return word
