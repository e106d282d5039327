"""What every command prints with: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from exporters.errors import FwdllmError

out = Console()
err = Console(stderr=True)


class OnProgress(Protocol):
    """How long-running work reports itself; a new stage gets its own bar."""

    def __call__(self, stage: str, done: int, total: int, *, in_bytes: bool = False) -> None: ...


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


class _AmountColumn(ProgressColumn):
    """How much is done: of bytes in MB, with MB/s; else by number."""

    def render(self, task: Task) -> Text:
        if not task.fields["in_bytes"]:
            return Text(f"{task.completed:.0f}/{task.total:.0f}", style="progress.download")
        speed = "" if task.speed is None else f", {task.speed / 1e6:.1f} MB/s"
        text = f"{task.completed / 1e6:.1f}/{(task.total or 0) / 1e6:.1f} MB{speed}"
        return Text(text, style="progress.download")


@contextmanager
def progress_bars() -> Iterator[OnProgress]:
    """Bars on stderr, one per stage; silent where stderr is not a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _AmountColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    ) as progress:
        bars: dict[str, Any] = {}

        def on_progress(stage: str, done: int, total: int, *, in_bytes: bool = False) -> None:
            if stage not in bars:
                # What was done before counts neither into the speed nor into the time that is left.
                bars[stage] = progress.add_task(
                    escape(stage), completed=done, total=total, in_bytes=in_bytes
                )
            progress.update(bars[stage], completed=done, total=total)

        yield on_progress
