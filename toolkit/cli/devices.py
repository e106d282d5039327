"""`fwdllm devices`: what each target is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from toolkit.cli.console import out, print_error, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from android_harness.facts.device_facts import DeviceFacts

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
        typer.Option("--target", help="local, adb:SERIAL or adb-tcp:HOST:PORT; local when absent."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the facts of each target, as the device itself reports them."""
    from android_harness.errors import DeviceError
    from android_harness.facts.device_facts import read_device_facts
    from android_harness.targets.open_target import open_target

    facts, failures = {}, []
    for spec in target or ["local"]:
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
