"""`fwdllm devices`: which devices there are, and what each is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from toolkit.cli.console import out, print_error, print_json

if TYPE_CHECKING:
    from android_harness.targets.discover import FoundDevice
    from toolkit.cli.device_table import DeviceReport

_ASKED_AT_ONCE = 16


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
    from toolkit.cli.device_table import overview

    found = [FoundDevice("local", "device", None, "this machine"), *found_devices()]
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        answers = list(pool.map(_asked, found))
    if json:
        documents = []
        for device, answer in zip(found, answers, strict=True):
            report = None if isinstance(answer, str) else answer.document()
            documents.append({**_document(device), "report": report})
        print_json(documents)
        return
    table = Table(
        "target", "state", "device", "clusters", "memory", "signs", "battery", "fit to measure"
    )
    for device, answer in zip(found, answers, strict=True):
        state = f"[green]{device.state}[/]" if device.usable else f"[red]{device.state}[/]"
        if isinstance(answer, str):
            shown = [device.model or "", "", "", "", "", answer]
        else:
            shown = overview(answer)
        table.add_row(escape(device.spec), state, *(escape(cell) for cell in shown))
    out.print(table)


def _asked(device: FoundDevice) -> DeviceReport | str:
    """What the device tells of itself, or what to do so that it does."""
    from android_harness.errors import DeviceError
    from android_harness.targets.open_target import open_target
    from toolkit.cli.device_table import read_device_report

    if not device.usable:
        return device.remedy
    try:
        with open_target(device.spec) as opened:
            return read_device_report(opened)
    except DeviceError as error:
        return f"{error.message}; {error.remedy}"


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
    from android_harness.targets.discover import expand_targets
    from android_harness.targets.open_target import open_target
    from toolkit.cli.device_table import device_table, read_device_report

    reports, failures = {}, []
    for spec in expand_targets(specs):
        try:
            with open_target(spec) as opened:
                reports[spec] = read_device_report(opened)
        except DeviceError as error:
            failures.append(error)
    if json:
        print_json({spec: report.document() for spec, report in reports.items()})
    else:
        for spec, report in reports.items():
            out.print(device_table(spec, report))
    for failure in failures[:-1]:
        print_error(failure)
    if failures:
        raise failures[-1]
