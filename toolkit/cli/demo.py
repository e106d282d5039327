"""`fwdllm demo`: the whole main job on a model, data and a second device that it makes itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.allocate import table as allocation_table
from toolkit.cli.console import err, out, progress_bars
from toolkit.cli.export import summary as bundle_summary
from toolkit.cli.profile_tables import arm_tables
from toolkit.cli.training_output import summary as training_summary


def demo(
    out_folder: Annotated[
        Path, typer.Option("--out", help="A folder for everything it makes.")
    ] = Path("demo-out"),
) -> None:
    """Export, push, bench, profile, allocate, train and report; no network, no phone."""
    from toolkit.demo.chain import run_demo

    started = time.monotonic()

    def on_step(text: str) -> None:
        err.print(f"[bold][{time.monotonic() - started:5.1f} s][/] {text}", highlight=False)

    with progress_bars() as on_progress:
        result = run_demo(
            out_folder,
            on_step=on_step,
            on_output=lambda line: err.print(line, highlight=False, markup=False),
            on_progress=on_progress,
        )
    out.print(bundle_summary(result.bundle))
    for profile in result.profiles:
        for table in arm_tables(profile):
            out.print(table)
    out.print(allocation_table(result.allocation))
    out.print(training_summary(result.training.rounds))
    out.print(f"report: {result.report}", highlight=False, soft_wrap=True)
