"""`fwdllm devices`: what each target is, and how it fares."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.console import out, print_error, print_json
from toolkit.cli.options import JsonOption


def devices(
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="local, adb:SERIAL or adb-tcp:HOST:PORT; local when absent."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what each target is and how it fares, as the device itself reports it."""
    from android_harness.errors import DeviceError
    from android_harness.targets.open_target import open_target
    from toolkit.cli.device_table import device_table, read_device_report

    reports, failures = {}, []
    for spec in target or ["local"]:
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
