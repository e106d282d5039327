"""Options and value lists that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from android_harness.job import Estimator
from android_harness.state.wanted_settings import SettingsChoice

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
TargetsOption = Annotated[
    list[str],
    typer.Option(
        "--target", help="local, adb:SERIAL or adb-tcp:HOST:PORT; repeat for several devices."
    ),
]
EachTargetOption = Annotated[
    list[str],
    typer.Option(
        "--target",
        help="local, adb:SERIAL or adb-tcp:HOST:PORT; repeat for several devices, which work at "
        "the same time. all: every device that the adb server or USB has.",
    ),
]
PatienceOption = Annotated[
    float, typer.Option(min=0, help="Minutes for which a device that was lost is looked for.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        show_default="the CPU",
        help="What computes on the targets: vulkan, opencl or hexagon, or one device of them by "
        "its name, such as Vulkan0. `fwdllm runner build --with` must have built it.",
    ),
]
TimeoutOption = Annotated[
    float, typer.Option(min=1, help="Seconds after which a job is killed on its device.")
]
SettingsOption = Annotated[
    SettingsChoice,
    typer.Option(
        "--settings",
        help="measuring: screen on and dim, awake, undisturbed, airplane mode over USB, battery "
        "saver off, fixed performance; restored at the end. as-is: nothing is touched.",
    ),
]
# `auto`: what the devices' profiles say is the best (`toolkit/allocation/choose_estimator.py`).
EstimatorOrAuto = Literal[Estimator, "auto"]


def named_path(text: str) -> tuple[str | None, Path]:
    """(NAME, PATH) of `NAME=PATH`; a text that is itself a path has no name."""
    name, found, path = text.partition("=")
    return (name, Path(path)) if found and not Path(text).exists() else (None, Path(text))


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


def celsius_or_off(text: str) -> float | Literal["off"]:
    """A temperature, or `off`.

    Raises:
        typer.BadParameter: anything else.
    """
    if text == "off":
        return "off"
    try:
        celsius = float(text)
    except ValueError:
        celsius = math.nan
    if not 0 < celsius < 100:
        raise typer.BadParameter(f"expected degrees Celsius or off, got {text!r}")
    return celsius
