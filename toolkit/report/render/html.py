"""A report as one HTML file that needs nothing else and asks nobody."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from toolkit.report.content import Cell, Plot, Report, Table
from toolkit.report.drawing import svg


def render_html(report: Report) -> str:
    """The page. All text is escaped but that of this folder's own files and of matplotlib.

    The page forbids itself the network, and every script but its own, which it names by its hash.
    """
    environment = Environment(
        loader=PackageLoader("toolkit.report.render", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["standings"] = _standings
    script, stylesheet = _file("page.js"), _file("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template("page.html.j2").render(
        report=report,
        script=Markup(script),
        stylesheet=Markup(stylesheet),
        script_hash=f"sha256-{digest}",
        svg=_svg,
        cell_of=_cell_of,
    )
    return page.encode("utf-8", "replace").decode()  # names of files need not be UTF-8


def _svg(plot: Plot, anchor: str) -> Markup:
    return Markup(svg(plot, anchor))  # escaped by the XML writer


def _standings(table: Table) -> list[str]:
    """The verdicts that occur in a table, which its readers can choose among."""
    cells = (_cell_of(cell) for row in table.rows for cell in row)
    return sorted({cell.standing for cell in cells if cell.standing is not None})


def _cell_of(cell: str | Cell) -> Cell:
    return Cell(cell) if isinstance(cell, str) else cell


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
