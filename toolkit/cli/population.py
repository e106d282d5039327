"""`fwdllm fleet`: many devices, modelled from profiles of a few."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from android_harness.facts.device_facts import DeviceFacts
from device_bench.errors import PopulationError
from device_bench.population.core_designs import Arithmetic
from device_bench.population.kinds import Kind, PopulationRule, kinds_of, phone_kinds
from device_bench.population.phone_classes import phone_classes
from device_bench.population.population import population
from device_bench.profiles.profile_files import write_profiles
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption
from toolkit.cli.profiles import PROFILES_HELP, read_profiles


def fleet(
    profiles: Annotated[list[str], typer.Argument(help=PROFILES_HELP)],
    out_file: Annotated[Path, typer.Option("--out", help="The .jsonl file of profiles to write.")],
    devices: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    phones: Annotated[
        str | None,
        typer.Option(
            show_default="the profiled devices themselves",
            help="What they are: classes (phones by their chips), or a folder of recorded phones.",
        ),
    ] = None,
    arithmetic: Annotated[
        Arithmetic, typer.Option(help="Of the bundle's matrix products; int8 when quantized.")
    ] = "int8",
    spread: Annotated[
        float,
        typer.Option(min=0, max=2, help="Log-normal spread of seconds among devices of a kind."),
    ] = 0.1,
    sustained: Annotated[
        str, typer.Option(help="Slow-down of hot phones, from,to, where it was not measured.")
    ] = "1,1.5",
    measured_ghz: Annotated[
        float | None,
        typer.Option(min=0.1, help="Clock of the profiled devices that do not tell theirs."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json: JsonOption = False,
) -> None:
    """Model a population of devices and write their profiles."""
    rule = PopulationRule(
        arithmetic=arithmetic,
        spread=spread,
        sustained=_range(sustained),
        measured_khz=None if measured_ghz is None else measured_ghz * 1e6,
    )
    measured = read_profiles(profiles)
    if phones is None:
        kinds = kinds_of(measured)
    else:
        kinds, left_out = phone_kinds(measured, _facts(phones), rule)
        for name, why in left_out.items():
            err.print(f"left out, {name}: {why}", highlight=False, markup=False)
    write_profiles(out_file, population(kinds, devices, rule, seed))
    if json:
        print_json({"profiles": str(out_file), "kinds": [_row(kind) for kind in kinds]})
        return
    out.print(table(kinds, devices))
    out.print(f"profiles of {devices} devices: {out_file}", highlight=False, soft_wrap=True)


def table(kinds: list[Kind], devices: int) -> Table:
    """A kind a row."""
    bases = dict.fromkeys(kind.measured.target for kind in kinds)
    shown = Table(
        Column("kind", overflow="fold"),
        "chip",
        "cores",
        "GiB",
        "computing",
        "memory",
        title=f"{devices} devices, all kinds as frequent",
        title_justify="left",
        caption=f"seconds are those of {' or '.join(bases)} times these factors; modelled",
        caption_justify="left",
    )
    for kind in kinds:
        memory = kind.device.memory_total_bytes
        shown.add_row(
            kind.name,
            kind.device.soc or kind.device.cpu_model or "unknown",
            str(kind.threads or "as measured"),
            "unknown" if memory is None else f"{memory / 2**30:.0f}",
            f"× {kind.compute_factor:.3g}",
            f"× {kind.memory_factor:.3g}",
        )
    return shown


def _row(kind: Kind) -> dict[str, object]:
    return {
        "kind": kind.name,
        "measured_on": kind.measured.target,
        "threads": kind.threads,
        "memory_bytes": kind.device.memory_total_bytes,
        "compute_factor": kind.compute_factor,
        "memory_factor": kind.memory_factor,
    }


def _facts(phones: str) -> dict[str, DeviceFacts]:
    """Facts by the phone's name.

    Raises:
        PopulationError: there is no such folder, or it holds no recording.
        ContractError: a file in it is not a recording.
    """
    from android_harness.fake_phone.recorded_facts import recorded_facts

    if phones == "classes":
        return phone_classes()
    recordings = sorted(Path(phones).glob("*.json"))
    if not recordings:
        raise PopulationError(
            "there are no recordings of phones",
            remedy="give a folder of .json files with their props and files, or `classes`",
            file=phones,
        )
    return {path.stem: recorded_facts(path) for path in recordings}


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 1 <= low <= high < 100:
        raise typer.BadParameter(f"expected two factors from 1 up like 1,1.5, got {text!r}")
    return low, high
