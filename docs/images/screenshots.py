"""Pictures of the demo's report: `python docs/images/screenshots.py demo-out/report.html`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# Of each picture: the theme, width and height in pixels, and the section at its top.
PICTURES = {
    "report-overview": ("light", 1400, 780, ""),
    "report-device": ("dark", 1100, 1560, "#device-local"),
    "report-conditions": ("light", 1000, 1300, "#device-local_conditions"),
    "demo-report": ("light", 1000, 1590, "#allocations"),
}


def main(report: Path) -> None:
    """Writes the pictures beside this file."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (theme, width, height, anchor) in PICTURES.items():
            page = chromium.new_page(
                color_scheme=theme, viewport={"width": width, "height": height}
            )
            page.goto(report.resolve().as_uri() + anchor)
            page.screenshot(path=Path(__file__).with_name(f"{name}.png"))
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
