"""`fwdllm allocate`: a round's probes divided over profiled devices."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from android_harness.job import Estimator
from toolkit.allocation.contract import Allocation
from toolkit.cli.console import out as console
from toolkit.cli.console import print_json
from toolkit.cli.options import JsonOption, integers


def allocate(
    profiles: Annotated[list[Path], typer.Argument(help="Capability profiles.")],
    probes: Annotated[
        int, typer.Option(min=1, max=10**12, help="Probes of the round, over all devices.")
    ],
    out: Annotated[Path, typer.Option(help="The allocation to write.")],
    batch: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 4,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens in an example.")] = 32,
    directions: Annotated[
        str, typer.Option(help="Directions at once to choose from, per device.")
    ] = "1,8",
    estimator: Annotated[Estimator, typer.Option()] = "central",
    cap: Annotated[
        list[str] | None,
        typer.Option(help="The most probes of a device, TARGET=N; repeat for several."),
    ] = None,
    memory_limit_mb: Annotated[
        float | None, typer.Option(min=1, help="For every device; half of its own when absent.")
    ] = None,
    fixed_s: Annotated[
        float, typer.Option(min=0, help="Seconds per round before a device's first probe.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Divide probes over devices so that the last one is done as early as possible."""
    from device_bench.profile import Profile
    from toolkit.allocation.allocate import allocate as divide

    allocation = divide(
        [Profile.read(path) for path in profiles],
        probes=probes,
        batch=batch,
        tokens=tokens,
        estimator=estimator,
        directions_per_pass=integers(directions),
        caps=dict(_cap(text) for text in cap or []),
        memory_limit_bytes=None if memory_limit_mb is None else int(memory_limit_mb * 1e6),
        fixed_s=fixed_s,
        now=datetime.now(UTC),
    )
    allocation.write(out)
    if json:
        print_json(allocation.model_dump(mode="json"))
    else:
        console.print(table(allocation))


def table(allocation: Allocation) -> Table:
    """The devices' shares, and who was left out."""
    shown = Table(
        Column("target", overflow="fold"),
        "probes",
        "at once",
        "s per probe",
        "expected s",
        "peak MB",
        title=(
            f"{allocation.probes} probes: makespan {allocation.makespan_s:.3g} s "
            f"({allocation.makespan_provenance}), lower bound {allocation.lower_bound_s:.3g} s"
        ),
        title_justify="left",
    )
    for device in allocation.devices:
        seconds, memory = device.seconds_per_probe, device.peak_memory_bytes
        shown.add_row(
            device.target,
            str(device.probes),
            str(device.directions_per_pass),
            f"{seconds.value:.3g} ({seconds.provenance})",
            f"{device.expected_s:.3g}",
            f"{memory.value / 1e6:.0f} ({memory.provenance})",
        )
    for left in allocation.left_out:
        shown.add_row(left.target, "left out", "", left.reason, "", "")
    return shown


def _cap(text: str) -> tuple[str, int]:
    target, found, count = text.rpartition("=")
    if not found or not target or not count.isdecimal():
        raise typer.BadParameter(f"expected TARGET=N, got {text!r}")
    return target, int(count)
