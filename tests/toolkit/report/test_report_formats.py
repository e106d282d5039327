"""One report as HTML, as Markdown and on a terminal; names of phones are text in each of them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import HOSTILE, make_allocation, make_profile, make_run
from rich.console import Console
from typer.testing import CliRunner

from exporters.errors import FwdllmError
from toolkit.cli.app import app
from toolkit.report.build import build_report
from toolkit.report.content import Cell, Finding, Plot, Report, Section, Table, columns, printable
from toolkit.report.drawing import figure, label, name_rows, svg
from toolkit.report.render.html import render_html
from toolkit.report.render.markdown import render_markdown
from toolkit.report.render.terminal import print_report

NOW = datetime.now(UTC)


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """On two profiles, their allocation, a run."""
    folder = tmp_path_factory.mktemp("made")
    profiles = [make_profile("adb:one"), make_profile("adb:two", 2.0, verdict="suspect")]
    for number, each in enumerate(profiles):
        each.write(folder / f"{number}.json")
    make_allocation(*profiles).write(folder / "allocation.json")
    make_run(folder / "run", rounds=20)
    return build_report([folder], now=NOW, title="A fleet")


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render_html(report)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A profile and a run."""
    make_profile("adb:two").write(tmp_path / "0.json")
    make_run(tmp_path / "run", rounds=2)
    return tmp_path


def texts(name: str) -> Report:
    """A report that says `name` wherever a text can stand."""
    table = Table(name, columns(name, "#number"), [(Cell(name, link="x"), "1"), (name, name)])
    section = Section(
        name, "x", facts=[(name, name)], findings=[Finding("suspect", name, name)], tables=[table],
        parts=[Section(name, "y", facts=[(name, Cell(name, standing="valid"))])],
    )  # fmt: skip
    return Report(name, name, [section])


def plot_of(name: str) -> Plot:
    def draw():
        drawn = figure(height=1)
        axes = drawn.subplots()
        axes.barh([0], [1])
        name_rows(axes, [name])
        return drawn

    return Plot(name, name, draw, Table("data", columns("a"), [("1",)]))


def shown(report: Report) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_report(report, console)
    return console.export_text()


def test_all_three_say_the_same(report: Report, html: str) -> None:
    markdown, terminal = render_markdown(report), shown(report)
    for text in ("A fleet", "adb:two", "lower bound", "held-out loss (measured)", "tangent B4 T32"):
        assert text in html and text in markdown and text in terminal, text


def test_the_page_forbids_itself_the_network_and_every_script_but_its_own(html: str) -> None:
    page = Page(html)
    (policy,) = [attributes["content"] for _, attributes in page.elements
                 if attributes.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    named = [pair for _, attributes in page.elements for pair in attributes.items()]
    addresses = {value for name, value in named if name in ("src", "href", "action")}
    assert all(address.startswith("#") for address in addresses - {"data:,"})
    assert not [name for name, _ in named if name.startswith("on")]


def test_ids_are_unique_and_links_lead_somewhere(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name in ("href", "aria-labelledby", "aria-describedby"):
        named = [attributes[name] for _, attributes in page.elements if name in attributes]
        assert {each.removeprefix("#") for each in named} - {"data:,"} <= set(ids)


def test_a_hostile_name_is_text_in_html() -> None:
    harmless, hostile = Page(render_html(texts("name"))), Page(render_html(texts(HOSTILE)))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert "".join(hostile.text).count(HOSTILE) == "".join(harmless.text).count("name")


def test_a_hostile_name_is_text_in_a_figure() -> None:
    root = ElementTree.fromstring(svg(plot_of(HOSTILE), "plot"))
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert not tags & {"script", "img", "style", "foreignObject", "image"}
    assert [element.text for element in root.iter()].count(printable(HOSTILE)) == 2
    assert label(HOSTILE) in [element.text for element in root.iter()]


def test_a_hostile_name_is_text_in_markdown() -> None:
    markdown = render_markdown(texts(HOSTILE))
    assert not re.search(r"(?<!\\)[<>`]", markdown)
    cells = [re.findall(r"(?<!\\)\|", line) for line in markdown.splitlines() if line[:1] == "|"]
    assert {len(bars) for bars in cells} == {3}


def test_a_hostile_name_gives_the_terminal_no_orders() -> None:
    assert "\x1b" not in shown(texts(HOSTILE))


@given(st.text(max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_text_is_shown(text: str) -> None:
    page = Page(render_html(texts(text + "end")))
    assert [tag for tag, _ in page.elements] == [
        tag for tag, _ in Page(render_html(texts("end"))).elements
    ]
    render_markdown(texts(text)).encode()
    shown(texts(text))


@given(st.text(min_size=1, max_size=40))
@settings(max_examples=10, deadline=None)
def test_any_text_can_be_drawn(text: str) -> None:
    ElementTree.fromstring(svg(plot_of(text), "plot"))


def test_figures_have_the_colours_of_the_page_alone(html: str) -> None:
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(figures) > 10
    for drawn in figures:
        assert not re.search(r"#[0-9a-f]{6}|rgb", drawn) and "var(--ink)" in drawn


def test_a_name_of_a_file_that_is_not_utf_8_can_be_written() -> None:
    render_html(texts("run-\udcff")).encode()
    render_markdown(texts("run-\udcff")).encode()


def invoke(*arguments: object):
    return CliRunner().invoke(app, ["report", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize(
    ("name", "options", "start"),
    [
        ("report.html", (), "<!doctype html>"),
        ("report.HTM", (), "<!doctype html>"),
        ("report.md", (), "# Mine"),
        ("report.txt", ("--format", "markdown"), "# Mine"),
    ],
)
def test_the_suffix_or_the_option_names_the_format(
    folder: Path, name: str, options: tuple[str, ...], start: str
) -> None:
    out = folder / "out" / name
    result = invoke(folder, "--out", out, "--title", "Mine", *options)
    assert result.exit_code == 0, result.output
    assert out.read_text().startswith(start)


def test_without_a_file_the_report_is_printed(folder: Path) -> None:
    assert "adb:two" in invoke(folder).stdout
    assert invoke(folder, "--format", "markdown").stdout.startswith("# fwdllm report")


def test_a_format_that_is_none_is_refused(folder: Path) -> None:
    unknown = invoke(folder, "--out", folder / "report.pdf")
    assert isinstance(unknown.exception, FwdllmError) and "--format" in unknown.exception.remedy
    assert invoke(folder, "--out", folder / "x.html", "--format", "terminal").exit_code == 2
    assert not (folder / "x.html").exists()


def test_a_report_on_a_file_of_another_version_names_the_file(folder: Path) -> None:
    fields = json.loads((folder / "0.json").read_text()) | {"schema_version": 99}
    (folder / "0.json").write_text(json.dumps(fields))
    error = invoke(folder).exception
    assert isinstance(error, FwdllmError) and error.file == folder / "0.json"
