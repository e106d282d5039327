"""`fwdllm telemetry`: what a device's sensors tell, and what the harness makes of it."""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from android_harness.telemetry.trace import Trace


def telemetry(
    target: Annotated[str, typer.Option(help="local, adb:SERIAL or adb-tcp:HOST:PORT.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long to record.")] = 10.0,
    hertz: Annotated[
        float,
        typer.Option(min=0.01, max=4, help="Looks a second at current, voltage and frequencies."),
    ] = 4.0,
    dump_interval: Annotated[
        int, typer.Option(min=1, help="Seconds between questions to Android's services.")
    ] = 5,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Append the recording here, and its table beside it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Record a device's sensors and show which exist, their ranges, and the battery's power."""
    from android_harness.targets.open_target import open_target
    from android_harness.telemetry.recorder import recorded_telemetry
    from android_harness.telemetry.records import TELEMETRY_NAME
    from android_harness.telemetry.trace import read_trace
    from exporters.errors import FwdllmError

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = out_file or folder / TELEMETRY_NAME
        opened = stack.enter_context(open_target(target))
        with recorded_telemetry(
            opened, path, hertz=hertz, dump_interval_s=dump_interval
        ) as recorder:
            time.sleep(seconds)
        trace = read_trace(path)
    if not trace.series:
        raise FwdllmError(
            f"{target}: no telemetry: {'; '.join(recorder.missing)}",
            remedy="look at the device with `fwdllm doctor --target`",
        )
    document = {"target": target, "missing": recorder.missing, **_findings(trace)}
    if json:
        print_json(document)
        return
    _show(document)
    if out_file is not None:
        out.print(f"recording: {out_file}", highlight=False, soft_wrap=True)


def _findings(trace: Trace) -> dict[str, Any]:
    from android_harness.telemetry.energy import energy_of
    from android_harness.telemetry.power import battery_power
    from android_harness.telemetry.summary import summary

    power = battery_power(trace)
    energy = energy_of(power, *trace.span_ns)
    return {
        "sensors": [
            {
                "channel": channel,
                "source": trace.sensors[channel].source if channel in trace.sensors else None,
                "readings": len(series.values),
                "min": float(series.values.min()),
                "max": float(series.values.max()),
            }
            for channel, series in sorted(trace.series.items())
        ],
        "current": power.current.said,
        "voltage": power.voltage.said,
        "mean_watts": energy.mean_watts,
        "energy": energy.model_dump(mode="json"),
        "poller_cores": summary(trace, *trace.span_ns).poller_cores,
    }


def _show(document: dict[str, Any]) -> None:
    out.print(_table(document["target"], document["sensors"]))
    watts, energy, cores = document["mean_watts"], document["energy"], document["poller_cores"]
    lines = [
        f"current: {document['current']}",
        f"voltage: {document['voltage']}",
        "power: "
        + ("unknown" if watts is None else f"{watts:.3f} W over {energy['coverage']:.0%} of it")
        + "".join(f"; {reason}" for reason in energy["reasons"]),
        "poller: " + ("unknown" if cores is None else f"{cores:.2%} of a core"),
    ]
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    for reason in document["missing"]:
        err.print(f"missing: {reason}", highlight=False, soft_wrap=True, markup=False)


def _table(target: str, sensors: list[dict[str, Any]]) -> Table:
    """A row for what one source tells of one quantity; --json tells each sensor by itself."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for sensor in sensors:
        quantity = sensor["channel"].partition(".")[0]
        rows[quantity, re.sub(r"\d+", "*", sensor["source"] or "")].append(sensor)
    table = Table(title=target, title_justify="left")
    for heading in ("quantity", "sensors", "source"):
        table.add_column(heading, overflow="fold")
    for heading in ("readings", "min", "max"):
        table.add_column(heading, justify="right")
    for (quantity, source), group in rows.items():
        table.add_row(
            quantity,
            ", ".join(sensor["channel"].partition(".")[2] for sensor in group),
            source,
            str(max(sensor["readings"] for sensor in group)),
            f"{min(sensor['min'] for sensor in group):.6g}",
            f"{max(sensor['max'] for sensor in group):.6g}",
        )
    return table
