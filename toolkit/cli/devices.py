"""`fwdllm devices`: which devices there are, and what each is."""

from __future__ import annotations

from datetime import datetime
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from toolkit.cli.console import out, print_error, print_json

if TYPE_CHECKING:
    from android_harness.facts.device_facts import DeviceFacts
    from android_harness.targets.discover import FoundDevice

# Of the dozens of flags that a processor lists, those that decide the speed of quantized matmuls.
_TELLING_FEATURES = frozenset(
    [
        "asimddp",
        "asimdhp",
        "i8mm",
        "sve",
        "sve2",
        "bf16",
        "avx2",
        "fma",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
    ]
)


def devices(
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="Show the facts of this device: local, adb:SERIAL, adb-tcp:HOST:PORT, or all.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print each device that comes or goes, until Ctrl-C.")
    ] = False,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document on stdout; with --watch one a line."),
    ] = False,
) -> None:
    """List the devices that are found and what each needs, or show the facts of some."""
    if watch:
        if target:
            raise typer.BadParameter("--watch follows all devices and takes no --target")
        _watch(json=json)
    elif target:
        _inspect(target, json=json)
    else:
        _list(json=json)


def _list(*, json: bool) -> None:
    from android_harness.targets.discover import FoundDevice, found_devices

    found = [FoundDevice("local", "device", None, "this machine"), *found_devices()]
    if json:
        print_json([_document(device) for device in found])
        return
    table = Table("target", "state", "model", "through", "what to do")
    for device in found:
        state = f"[green]{device.state}[/]" if device.usable else f"[red]{device.state}[/]"
        table.add_row(
            escape(device.spec),
            state,
            escape(device.model or ""),
            escape(device.through),
            escape(device.remedy),
        )
    out.print(table)


def _watch(*, json: bool) -> None:
    from android_harness.targets.watch import watch_devices

    try:
        for device in watch_devices():
            now = datetime.now().astimezone()
            if json:
                line = dumps({"time": now.isoformat(timespec="milliseconds"), **_document(device)})
                print(line, flush=True)
            else:
                parts = [f"{now:%H:%M:%S}", device.spec, device.state, device.model or ""]
                out.print("  ".join(parts), markup=False, highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        return  # how one ends it


def _document(device: FoundDevice) -> dict[str, str | None]:
    return {
        "target": device.spec,
        "state": device.state,
        "model": device.model,
        "through": device.through,
        "reason": device.reason,
        "remedy": device.remedy,
    }


def _inspect(specs: list[str], *, json: bool) -> None:
    from android_harness.errors import DeviceError
    from android_harness.facts.device_facts import read_device_facts
    from android_harness.targets.discover import expand_targets
    from android_harness.targets.open_target import open_target

    facts, failures = {}, []
    for spec in expand_targets(specs):
        try:
            with open_target(spec) as opened:
                facts[spec] = read_device_facts(opened)
        except DeviceError as error:
            failures.append(error)
    if json:
        print_json({spec: fact.model_dump(mode="json") for spec, fact in facts.items()})
    else:
        for spec, fact in facts.items():
            out.print(_table(spec, fact))
    for failure in failures[:-1]:
        print_error(failure)
    if failures:
        raise failures[-1]


def _table(spec: str, facts: DeviceFacts) -> Table:
    table = Table(title=spec, show_header=False, title_justify="left")
    for name, value in facts.model_dump().items():
        table.add_row(name, _shown(name, value))
    return table


def _shown(name: str, value: object) -> str:
    if value is None:
        return "unknown"
    if name == "cpu_features" and isinstance(value, tuple):
        value = tuple(feature for feature in value if feature in _TELLING_FEATURES)
    return " ".join(value) if isinstance(value, tuple) else str(value)
