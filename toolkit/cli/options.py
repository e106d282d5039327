"""Options and value lists that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
TargetsOption = Annotated[
    list[str],
    typer.Option(
        "--target", help="local, adb:SERIAL or adb-tcp:HOST:PORT; repeat for several devices."
    ),
]
TimeoutOption = Annotated[
    float, typer.Option(min=1, help="Seconds after which a job is killed on its device.")
]


def integers(text: str) -> list[int]:
    """Positive integers from `1,4,8`.

    Raises:
        typer.BadParameter: anything else.
    """
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise typer.BadParameter(f"expected positive integers like 1,4,8, got {text!r}")
    return values


def names(text: str) -> list[str]:
    """Names from `a,b`; empty parts are refused.

    Raises:
        typer.BadParameter: an empty list or an empty name.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise typer.BadParameter(f"expected names like a,b, got {text!r}")
    return parts
