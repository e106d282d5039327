"""`fwdllm convergence`: what runs spent until an accuracy, for `fwdllm plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from toolkit.cli.console import out as console
from toolkit.cli.options import named_path


def convergence(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Folders of `fwdllm train`, baselines among them; METHOD=FOLDER names the method, "
            "else the folder does. Several of one method are repetitions."
        ),
    ],
    target_accuracy: Annotated[float, typer.Option(min=0.01, max=1.0)],
    out: Annotated[Path, typer.Option(help="The convergence table to write.")],
    tokens: Annotated[
        float | None,
        typer.Option(min=1, help="Mean tokens of an example; a baseline's own when absent."),
    ] = None,
    task: Annotated[str, typer.Option(help="What was learnt, for people.")] = "",
    model: Annotated[str, typer.Option(help="By what, for people.")] = "",
) -> None:
    """Count what each run spent until it reached an accuracy."""
    from toolkit.backprop.baseline import BASELINE_FILE, BaselineRun
    from toolkit.backprop.convergence import row_of
    from toolkit.plan.convergence import ConvergenceTable

    named = [(name or path.name, path) for name, path in map(named_path, runs)]
    if tokens is None:
        noted = [path for _, path in named if (path / BASELINE_FILE).exists()]
        tokens = BaselineRun.read(noted[0] / BASELINE_FILE).mean_tokens if noted else None
    rows = tuple(row_of(path, method, target_accuracy, tokens) for method, path in named)
    ConvergenceTable(task=task, model=model, source="fwdllm convergence", rows=rows).write(out)
    shown = Table("method", "reached", "rounds", "probes", "backpropagation steps")
    for row in rows:
        reached = "yes" if row.reached else "no"
        shown.add_row(row.method, reached, str(row.rounds), f"{row.probes:,}", f"{row.bp_steps:,}")
    console.print(shown)
