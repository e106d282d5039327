"""`fwdllm allocate`: a round's probes divided over profiled devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from exporters.lora.request import layers_text
from toolkit.allocation.contract import Allocation, DeviceAllocation
from toolkit.cli.console import err, print_json
from toolkit.cli.console import out as console
from toolkit.cli.options import EstimatorOrAuto, JsonOption, integers
from toolkit.cli.profiles import PROFILES_HELP, read_profiles

MOST_ROWS = 50  # of devices, and of those left out; the file has all
MOST_NAMES = 3  # of devices that one warning is about


def allocate(
    profiles: Annotated[list[str], typer.Argument(help=PROFILES_HELP)],
    probes: Annotated[
        int, typer.Option(min=1, max=10**12, help="Probes of the round, over all devices.")
    ],
    out: Annotated[Path, typer.Option(help="The allocation to write.")],
    batch: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 4,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens in an example.")] = 32,
    directions: Annotated[
        str, typer.Option(help="Directions at once to choose from, per device.")
    ] = "1,8",
    estimator: Annotated[
        EstimatorOrAuto, typer.Option(help="auto: what the profiles say is the best.")
    ] = "central",
    batches: Annotated[
        str | None,
        typer.Option(help="Other batches that a device may use; needs --noise-scale."),
    ] = None,
    noise_scale: Annotated[
        float | None,
        typer.Option(min=0, help="Batch at which the examples' noise equals the gradient."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Narrower range of layers for weak devices, FIRST-LAST; repeat."),
    ] = None,
    cap: Annotated[
        list[str] | None,
        typer.Option(help="The most probes of a device, TARGET=N; repeat for several."),
    ] = None,
    memory_limit_mb: Annotated[
        float | None, typer.Option(min=1, help="For every device; half of its own when absent.")
    ] = None,
    joules: Annotated[
        float | None, typer.Option(help="The most energy of a device in a round.")
    ] = None,
    deadline_s: Annotated[
        float | None, typer.Option(help="Nobody gets probes that it would finish later.")
    ] = None,
    availability: Annotated[
        list[str] | None,
        typer.Option(help="The chance that a device answers, TARGET=0.8, 0 if away; repeat."),
    ] = None,
    quantile: Annotated[
        float,
        typer.Option(help="Plan with seconds that a device stays below with this probability."),
    ] = 0.5,
    floor: Annotated[int, typer.Option(min=0, help="The fewest probes of every device.")] = 0,
    floor_share: Annotated[
        float, typer.Option(min=0, max=1, help="The same as a share of an equal part.")
    ] = 0.0,
    fixed_s: Annotated[
        float, typer.Option(min=0, help="Seconds per round before a device's first probe.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Divide probes over devices so that the last one is done as early as possible."""
    from toolkit.allocation.allocate import allocate as divide
    from toolkit.allocation.choose_estimator import choose_estimator
    from toolkit.allocation.limits import Batches, Floor, Limits

    if (batches is None) != (noise_scale is None):
        raise typer.BadParameter("--batches and --noise-scale belong together")
    measured = read_profiles(profiles)
    divide_by = partial(
        divide,
        measured,
        probes=probes,
        batch=batch,
        tokens=tokens,
        directions_per_pass=integers(directions),
        batches=None
        if batches is None or noise_scale is None
        else Batches(tuple(integers(batches)), noise_scale),
        layers=[_layers(text) for text in layers or []],
        limits=Limits(
            memory_bytes=None if memory_limit_mb is None else int(memory_limit_mb * 1e6),
            joules=joules,
            deadline_s=deadline_s,
            probes=dict(_cap(text) for text in cap or []),
        ),
        floor=Floor(floor, floor_share) if floor or floor_share else None,
        availability=dict(_availability(text) for text in availability or []),
        quantile=quantile,
        fixed_s=fixed_s,
        now=datetime.now(UTC),
    )
    if estimator == "auto":
        allocation = choose_estimator(measured, lambda one: divide_by(estimator=one))
    else:
        allocation = divide_by(estimator=estimator)
    allocation.write(out)
    if json:
        print_json(allocation.model_dump(mode="json"))
        return
    console.print(table(allocation))
    for note in (*summary(allocation), *allocation.notes):
        console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)
    for warning in warning_lines(allocation):
        err.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)


def table(allocation: Allocation) -> Table:
    """The devices' shares, and who was left out."""
    planned = "" if allocation.quantile == 0.5 else f", at quantile {allocation.quantile:g}"
    shown = Table(
        Column("target", overflow="fold"),
        "probes",
        "setting",
        "s per probe",
        "planned s",
        "late",
        "peak MB",
        title=(
            f"{allocation.planned_probes} probes: makespan {allocation.makespan_s:.3g} s "
            f"({allocation.makespan_provenance}{planned}), "
            f"lower bound {allocation.lower_bound_s:.3g} s"
        ),
        title_justify="left",
    )
    for device in allocation.devices[:MOST_ROWS]:
        seconds, memory = device.seconds_per_probe, device.peak_memory_bytes
        shown.add_row(
            device.target,
            str(device.probes),
            setting(device),
            f"{seconds.value:.3g} ({seconds.provenance})",
            f"{device.planned_s:.3g}",
            f"{device.late_probability:.0%}" if device.probes else "",
            f"{memory.value / 1e6:.0f} ({memory.provenance})",
        )
    if len(allocation.devices) > MOST_ROWS:
        shown.add_row(f"{len(allocation.devices) - MOST_ROWS} more", *[""] * 6)
    for left in allocation.left_out[:MOST_ROWS]:
        shown.add_row(left.target, "left out", "", left.reason, "", "", "")
    if len(allocation.left_out) > MOST_ROWS:
        shown.add_row(f"{len(allocation.left_out) - MOST_ROWS} more", "left out", *[""] * 5)
    return shown


def setting(device: DeviceAllocation) -> str:
    """How a device runs its probes, in short: batch, directions at once, layers."""
    text = f"B {device.batch}, K {device.directions_per_pass}"
    return text if device.layers is None else f"{text}, layers {layers_text(device.layers)}"


def summary(allocation: Allocation) -> list[str]:
    """What to expect of the round, in sentences."""
    limit = "the makespan" if allocation.deadline_s is None else f"{allocation.deadline_s:g} s"
    lines = [
        f"late devices (after {limit}): {allocation.expected_late_share:.1%} expected, none with "
        f"probability {allocation.nobody_late_probability:.1%} (modelled, log-normal)"
    ]
    if allocation.planned_probes != allocation.probes:
        lines.append(
            f"{allocation.planned_probes} probes stand for {allocation.probes}: "
            f"{allocation.over_provision:.2f} times what is wanted if every device answers"
        )
    return lines


def warning_lines(allocation: Allocation) -> list[str]:
    """Each kind of warning once, with whom it is about; the allocation names everybody."""
    targets: dict[str, list[str]] = defaultdict(list)
    for device in allocation.devices:
        for warning in device.warnings:
            targets[warning].append(device.target)
    return [f"{warning} ({_named(names)})" for warning, names in targets.items()]


def _named(targets: Sequence[str]) -> str:
    few = ", ".join(targets[:MOST_NAMES])
    more = len(targets) - MOST_NAMES
    return f"{len(targets)} devices: {few} and {more} more" if more > 0 else few


def _layers(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise typer.BadParameter(f"expected FIRST-LAST, got {text!r}")
    return int(first), int(last)


def _availability(text: str) -> tuple[str, float]:
    target, found, chance = text.rpartition("=")
    try:
        if found and target:
            return target, float(chance)
    except ValueError:
        pass
    raise typer.BadParameter(f"expected TARGET=CHANCE, got {text!r}")


def _cap(text: str) -> tuple[str, int]:
    target, found, count = text.rpartition("=")
    if not found or not target or not count.isdecimal():
        raise typer.BadParameter(f"expected TARGET=N, got {text!r}")
    return target, int(count)
