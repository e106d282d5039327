"""What every command prints with: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from exporters.errors import FwdllmError

out = Console()
err = Console(stderr=True)

# (stage, done, total): how long-running work reports itself; a new stage gets its own bar.
OnProgress = Callable[[str, int, int], None]


def print_json(value: Any) -> None:
    """One JSON document on stdout, for scripts: never wrapped, never coloured."""
    print(json.dumps(value, indent=2, default=str))


def print_error(error: FwdllmError) -> None:
    """The message, the file and the remedy, each on a line of its own."""
    err.print(f"[bold red]error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
    if error.file is not None:
        err.print(f"  [bold]file:[/] {escape(str(error.file))}", highlight=False, soft_wrap=True)
    if error.remedy:
        err.print(f"  [bold]remedy:[/] {escape(error.remedy)}", highlight=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Iterator[OnProgress]:
    """Bars on stderr, one per stage; silent where stderr is not a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    ) as progress:
        bars: dict[str, Any] = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(escape(stage), total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield on_progress
