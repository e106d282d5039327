"""`fwdllm plan`: what each way of training would cost a fleet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from android_harness.job import Estimator
from toolkit.cli.console import out as console
from toolkit.cli.console import print_json
from toolkit.cli.options import JsonOption
from toolkit.cli.profiles import PROFILES_HELP, read_profiles
from toolkit.plan.own_runs import DEFAULT

if TYPE_CHECKING:
    from toolkit.plan.contract import Figure, MethodPlan, Plan


def plan(
    profiles: Annotated[list[str], typer.Argument(help=PROFILES_HELP)],
    convergence: Annotated[
        str,
        typer.Option(
            help="What each method spent in runs: a .json or .csv file, or the name of a table of "
            "this project's own experiments."
        ),
    ] = DEFAULT,
    target_accuracy: Annotated[
        float | None, typer.Option(help="One of the table's; the highest when absent.")
    ] = None,
    estimator: Annotated[
        Estimator | None,
        typer.Option(
            help="Price all probes as measured by this, where devices cannot do as the runs did."
        ),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The benched bundle, for backpropagation's memory.")
    ] = None,
    memory_limit_mb: Annotated[
        float | None, typer.Option(min=1, help="For every device; half of its own when absent.")
    ] = None,
    link_mbit: Annotated[
        float | None, typer.Option(help="Megabits per second of each device's network.")
    ] = None,
    fixed_s: Annotated[
        float, typer.Option(min=0, help="Seconds per round before a device's work.")
    ] = 0.0,
    bp_passes: Annotated[
        float, typer.Option(min=1, help="Forward passes that a backpropagation step costs.")
    ] = 3.0,
    recompute: Annotated[
        bool, typer.Option(help="Backpropagation computes layers twice and keeps less.")
    ] = False,
    optimizer_moments: Annotated[
        int, typer.Option(min=0, help="Floats a parameter that its optimizer keeps; Adam: 2.")
    ] = 2,
    json: JsonOption = False,
) -> None:
    """Compare methods for a fleet: time, energy, memory and bytes to a target accuracy."""
    from exporters.manifest import Bundle
    from toolkit.plan.backprop import BackpropRule
    from toolkit.plan.own_runs import find_table
    from toolkit.plan.plan import plan as make

    table_of_runs = find_table(convergence)
    if estimator is not None:
        table_of_runs = table_of_runs.priced_as(estimator)
    loaded = None if bundle is None else Bundle(bundle)
    made = make(
        read_profiles(profiles),
        table_of_runs,
        now=datetime.now(UTC),
        target_accuracy=target_accuracy,
        manifest=None if loaded is None else loaded.manifest,
        manifest_sha256=None if loaded is None else loaded.sha256,
        rule=BackpropRule(
            passes=bp_passes, recompute=recompute, optimizer_moments=optimizer_moments
        ),
        memory_limit_bytes=None if memory_limit_mb is None else int(memory_limit_mb * 1e6),
        link_bits_per_s=None if link_mbit is None else link_mbit * 1e6,
        fixed_s=fixed_s,
    )
    if json:
        print_json(made.model_dump(mode="json"))
        return
    console.print(table(made))
    if made.task:
        console.print(f"counted in runs of {made.model} on {made.task}", highlight=False)
    for line in lines(made):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def table(made: Plan) -> Table:
    """A method a row; every figure says whether it is measured or modelled."""
    network = "without the network" if made.link_bits_per_s is None else "with the network"
    shown = Table(
        Column("method", overflow="fold"),
        "reached",
        "time",
        "energy",
        "peak memory",
        "fits",
        "down",
        "up",
        title=f"to accuracy {made.target_accuracy:g} on {made.devices} devices, {network}",
        title_justify="left",
    )
    for method in made.methods:
        shown.add_row(
            method.method,
            f"{method.reached} of {method.runs}",
            _time(method),
            _cell(method.joules, 1.0, "J") if method.seconds else "none",
            _cell(method.peak_memory_bytes, 1e6, "MB"),
            f"{method.devices - len(method.left_out)} of {method.devices}"
            if method.peak_memory_bytes is not None
            else "unknown",
            _cell(method.bytes_down, 1e6, "MB") if method.reached else "none",
            _cell(method.bytes_up, 1e6, "MB") if method.reached else "none",
        )
    return shown


def lines(made: Plan) -> list[str]:
    """The verdicts, then what each figure rests on."""
    found = [*made.verdicts]
    found += [f"left out, {left.target}: {left.reason}" for left in made.left_out]
    for method in made.methods:
        if method.seconds is not None:
            found.append(f"time of {method.method}: {method.seconds.basis}")
        if method.peak_memory_bytes is not None and method.backpropagates:
            found.append(f"memory of {method.method}: {method.peak_memory_bytes.basis}")
        found += [f"{method.method}: {note}" for note in method.notes]
    return [f"- {line}" for line in found]


def _time(method: MethodPlan) -> str:
    from toolkit.plan.verdict import duration

    if method.seconds is None:
        return "none"
    figure = method.seconds
    spread = (
        f", {duration(figure.low)} to {duration(figure.high)}" if figure.high > figure.low else ""
    )
    return f"{duration(figure.value)}{spread} ({figure.provenance})"


def _cell(figure: Figure | None, unit: float, name: str) -> str:
    if figure is None:
        return "unknown"
    return f"{figure.value / unit:.3g} {name} ({figure.provenance})"
