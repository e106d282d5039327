"""The page in a real browser: what it does, how it looks, and that it asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request

# The fleet's table, and not the numbers of its plot.
FLEET = "#fleet .filter + .scroll table"

UNFOLD = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"

# The contrast of each element's text with what lies behind it, by WCAG 2.2.
CONTRASTS = """(selectors) => {
  const channel = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => 0.2126 * channel(red / 255)
    + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return selectors.flatMap((selector) => [...document.querySelectorAll(selector)].slice(0, 20)
    .filter((element) => element.getClientRects().length)
    .map((element) => {
      const style = getComputedStyle(element);
      const ink = parse(element.tagName === "text" ? style.fill : style.color);
      const [one, other] = [light(ink), light(behind(element))].sort((a, b) => b - a);
      return [selector, (one + 0.05) / (other + 0.05)];
    }));
}"""


@contextmanager
def quiet_page(
    browser: Browser, path: Path, *, anchor: str = "", **settings: Any
) -> Iterator[Page]:
    """A page that must stay silent and offline for as long as it is open."""
    heard: list[str] = []
    context = browser.new_context(**settings)

    def note(request: Request) -> None:
        if not request.url.startswith((path.as_uri(), "data:")):
            heard.append(request.url)

    try:
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("request", note)
        page.goto(path.as_uri() + anchor)
        yield page
    finally:
        context.close()
    assert heard == []


@pytest.fixture
def page(chromium: Browser, full_report: Path) -> Iterator[Page]:
    """The report, opened; whatever the browser complains of or asks for fails the test."""
    with quiet_page(chromium, full_report, color_scheme="light") as opened:
        yield opened


def column(page: Page, header: str) -> list[str]:
    """The texts of the fleet's rows under a header, top down, of those that are shown."""
    headers = [text.strip() for text in page.locator(f"{FLEET} thead th").all_inner_texts()]
    place = headers.index(header) + 1
    cells = page.locator(f"{FLEET} tbody tr:not([hidden]) > :nth-child({place})")
    return [text.strip() for text in cells.all_inner_texts()]


def sorter(page: Page, header: str) -> Locator:
    return page.locator(f"{FLEET} thead").get_by_role("button", name=header, exact=True)


def test_every_part_of_the_page_opens_in_silence(page: Page) -> None:
    page.evaluate(UNFOLD)
    assert page.locator("svg").count() > 15
    assert page.locator("svg").first.bounding_box()["width"] > 300
    page.keyboard.press("End")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_makes_numbers_trusted_is_drawn(
    chromium: Browser, full_report: Path, scheme: str
) -> None:
    with quiet_page(chromium, full_report, color_scheme=scheme) as page:
        page.evaluate(UNFOLD)
        for name in (
            "Calibration of ε",
            "First and steady probes",
            "The course of the long run",
            "Roofline of differences",
            "Peak memory by arm",
            "Jobs over time",
            "Telemetry over time",
        ):
            plot = page.locator("#device-adb-fake").get_by_role("region", name=name, exact=True)
            box = plot.locator("svg").bounding_box()
            assert box["width"] > 300 and box["height"] > 60, name


def test_no_label_of_a_plot_is_cut_off(page: Page) -> None:
    page.evaluate(UNFOLD)
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".plot svg")].flatMap((svg) => {
          const frame = svg.getBoundingClientRect();
          return [...svg.querySelectorAll("text")].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 2 || box.right > frame.right + 2
              || box.top < frame.top - 2 || box.bottom > frame.bottom + 2;
          }).map((text) => text.textContent);
        })"""
    )
    assert cut == []


def test_a_click_sorts_numbers_as_numbers(page: Page) -> None:
    seconds = "s per probe (measured)"
    sorter(page, seconds).click()
    ascending = column(page, seconds)
    assert ascending == sorted(ascending, key=float) and ascending[-2:] == ["9", "10"]
    header = sorter(page, seconds).locator("xpath=..")
    assert header.get_attribute("aria-sort") == "ascending"

    sorter(page, seconds).click()
    assert column(page, seconds) == ascending[::-1]
    assert header.get_attribute("aria-sort") == "descending"
    assert page.locator("#said").inner_text() == f"Sorted by {seconds}, descending"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_sorts_too(page: Page, key: str) -> None:
    sorter(page, "device").focus()
    page.keyboard.press(key)
    names = column(page, "device")
    assert names[1:] == ["adb:FAKE", "adb:middling", "adb:quick"]
    page.keyboard.press("Tab")
    page.keyboard.press(key)
    assert page.locator(f"{FLEET} [aria-sort]").inner_text().strip() == "model"


def test_what_is_unknown_comes_last_in_either_order(page: Page) -> None:
    for _ in range(2):
        sorter(page, "J per probe (measured)").click()
        assert column(page, "J per probe (measured)") == ["3", "3", "3", "unknown"]


def test_dates_are_sorted_by_time(page: Page) -> None:
    sorter(page, "expires").click()
    times = column(page, "expires")
    assert times == sorted(times) and len(set(times)) > 1


def test_a_filter_hides_the_rows_that_lack_a_word(page: Page) -> None:
    page.get_by_label("Filter rows").first.fill("GGML quick")
    assert column(page, "device") == ["adb:quick"]
    assert page.locator("#fleet output").inner_text() == "1 of 4 rows"
    page.get_by_label("Filter rows").first.fill("")
    assert len(column(page, "device")) == 4


def test_a_verdict_is_chosen_exactly(page: Page) -> None:
    page.get_by_label("Verdict").select_option("valid")
    assert set(column(page, "verdict")) == {"valid"}
    page.get_by_label("Verdict").select_option("invalid")
    assert column(page, "verdict") == ["invalid"]


def test_the_theme_changes_the_colours_of_plots_and_page_and_is_remembered(page: Page) -> None:
    def colours() -> list[str]:
        return page.evaluate(
            """["body", "svg text", "svg path[style*='--first'], svg use[style*='--first']"]
            .map((selector) => getComputedStyle(document.querySelector(selector)))
            .flatMap((style) => [style.backgroundColor, style.color, style.fill, style.stroke])"""
        )

    light = colours()
    page.get_by_role("button", name="Dark theme").click()
    dark = colours()
    assert light[0] != dark[0] and light[1] != dark[1] and light[6] != dark[6]
    assert light[8:] != dark[8:]
    page.reload()
    assert colours() == dark
    page.get_by_role("button", name="Light theme").click()
    assert colours() == light


def test_the_page_works_where_nothing_may_be_stored(chromium: Browser, full_report: Path) -> None:
    with quiet_page(chromium, full_report) as page:
        page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw 0; } })"
        )
        page.reload()
        page.get_by_role("button", name="Dark theme").click()
        page.get_by_role("button", name="Light theme").wait_for()


def test_a_deep_link_unfolds_its_device(chromium: Browser, full_report: Path) -> None:
    with quiet_page(chromium, full_report, anchor="#device-adb-fake") as page:
        fold = page.locator("#device-adb-fake > details")
        assert fold.evaluate("(each) => each.open")
        assert 0 <= page.locator("#device-adb-fake").bounding_box()["y"] < 200
        assert not page.locator("#device-adb-quick > details").evaluate("(each) => each.open")

        page.goto(f"{full_report.as_uri()}#device-adb-middling_memory")
        assert page.locator("#device-adb-middling_memory svg").is_visible()

        page.locator(FLEET).get_by_role("link", name="adb:quick").click()
        assert page.locator("#device-adb-quick > details").evaluate("(each) => each.open")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(chromium: Browser, full_report: Path, width: int) -> None:
    with quiet_page(chromium, full_report, viewport={"width": width, "height": 800}) as page:
        page.evaluate(
            "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
        )
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_every_image_has_a_name_and_its_numbers(page: Page) -> None:
    page.evaluate(
        "document.querySelectorAll('details.fold').forEach((each) => { each.open = true; })"
    )
    images = re.findall(r"- img( \"(.*)\")?", page.locator("main").aria_snapshot())
    assert len(images) == page.locator("svg").count() > 15
    assert all(name for _, name in images)
    for figure in page.locator("figure").all():
        assert figure.locator("svg desc").count() == 1
        assert figure.locator("details table tbody tr").count() > 0


def test_the_page_has_landmarks_and_headings_in_order(page: Page) -> None:
    tree = page.locator("body").aria_snapshot()
    for landmark in ("- banner", '- navigation "Sections"', "- main"):
        assert landmark in tree
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((each) => +each.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    unscoped = "th:not([scope]), table:not(:has(caption))"
    assert page.locator(unscoped).count() == 0


def test_the_skip_link_is_the_first_stop_and_leads_to_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_focus_is_visible(page: Page) -> None:
    for _ in range(6):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid 3px" in outline or "3px solid" in outline, outline


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_background(
    chromium: Browser, full_report: Path, scheme: str
) -> None:
    with quiet_page(chromium, full_report, color_scheme=scheme) as page:
        page.evaluate(
            "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
        )
        measured = page.evaluate(
            CONTRASTS,
            ["h1", ".made", "nav a", "dt", "dd", "caption", "thead button", "td", "td a", "th a",
             ".standing", ".findings li", "summary", "figcaption", "svg text", "output", "button"],
        )  # fmt: skip
    assert {selector for selector, _ in measured} >= {".standing", "svg text", "caption", "dt"}
    assert [pair for pair in measured if pair[1] < 4.5] == []


def test_on_paper_everything_folded_is_shown_in_dark_on_light(page: Page) -> None:
    page.get_by_role("button", name="Dark theme").click()
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.locator("#device-adb-quick_memory svg").bounding_box()["height"] > 50
