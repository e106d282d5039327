"""A report with one of everything, and a browser to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_reports import (
    HOSTILE,
    make_allocation,
    make_long_run,
    make_profile,
    make_run,
    make_samples,
    make_telemetry,
    make_timeline,
)

from toolkit.report.write import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on four devices, one of them measured with telemetry, a plan and a run."""
    folder = tmp_path_factory.mktemp("report")
    profiles = [
        make_profile("adb:quick", 0.5),
        make_profile("adb:middling", 9.0, verdict="suspect", reasons=("incomplete-sweep",)),
        make_profile(f"adb:{HOSTILE}", 10.0, verdict="invalid", reasons=("moon-phase",)),
    ]
    for number, each in enumerate(profiles):
        each.write(folder / f"{number}.json")
    make_allocation(*profiles[:2]).write(folder / "plan.json")
    make_run(folder / "run", rounds=30)
    samples = make_long_run(make_timeline(make_samples(folder / "samples")))
    make_telemetry(samples, seconds=1200)
    write_report([folder], folder / "report.html", title="A fleet")
    return folder / "report.html"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless browser of this machine; skips where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if path is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
