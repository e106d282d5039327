"""`fwdllm report`: bundles, samples, profiles, allocations and runs, to look at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from toolkit.cli.console import out as console


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Bundle, samples and run folders; profile and allocation files; folders of them."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(show_default="stdout", help="The file to write: .html or .md."),
    ] = None,
    written_as: Annotated[
        Literal["html", "markdown", "terminal"] | None,
        typer.Option("--format", show_default="by the suffix of --out; without it, terminal"),
    ] = None,
    title: Annotated[str, typer.Option(help="What stands on top.")] = "fwdllm report",
) -> None:
    """Write one self-contained HTML page with plots, or Markdown, or print a summary."""
    from toolkit.report.build import build_report
    from toolkit.report.render.terminal import print_report
    from toolkit.report.write import rendered, write_report

    if out is None:
        built = build_report(paths, now=datetime.now(UTC), title=title)
        if written_as is None or written_as == "terminal":
            print_report(built, console)
        else:
            print(rendered(built, written_as), end="")
    elif written_as == "terminal":
        raise typer.BadParameter("a report for the terminal goes to no file: leave --out away")
    else:
        write_report(paths, out, written_as=written_as, title=title)
        console.print(f"report: {out}", highlight=False, soft_wrap=True)
