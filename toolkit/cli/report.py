"""`fwdllm report`: bundles, samples, profiles, allocations and runs as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.console import out as console


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Bundle, samples and run folders; profile and allocation files."),
    ],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
) -> None:
    """Write one self-contained HTML page with plots."""
    from toolkit.report.page import write_report

    write_report(paths, out)
    console.print(f"report: {out}", highlight=False, soft_wrap=True)
