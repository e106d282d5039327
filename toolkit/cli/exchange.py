"""`fwdllm exchange`: capability profiles to and from the formats of other projects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption
from toolkit.cli.profiles import PROFILES_HELP, read_profiles

app = typer.Typer(
    help="Profiles to FedScale and Flower, and from llama-bench.", no_args_is_help=True
)

ProfilesArgument = Annotated[list[str], typer.Argument(help=PROFILES_HELP)]


@app.command("fedscale")
def fedscale(
    profiles: ProfilesArgument,
    out_file: Annotated[
        Path,
        typer.Option("--out", help="FedScale's --device_conf_file; the same as JSON beside it."),
    ],
    tokens: Annotated[int, typer.Option(min=1, help="Tokens in an example.")],
    kbit_per_s: Annotated[
        float, typer.Option(min=1, help="Network speed of all devices; profiles do not know it.")
    ],
    batch: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 1,
    kbit_per_s_of: Annotated[
        list[str] | None, typer.Option(help="That of one device, TARGET=KBIT; repeat.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write FedScale's table of client capacities."""
    from toolkit.exchange.fedscale import client_capacities, write_client_capacities

    capacities = client_capacities(
        read_profiles(profiles),
        batch=batch,
        tokens=tokens,
        kbit_per_s=kbit_per_s,
        kbit_per_s_of=dict(_speed(text) for text in kbit_per_s_of or []),
    )
    readable = write_client_capacities(out_file, capacities)
    if json:
        print_json([capacity.model_dump() for capacity in capacities])
        return
    out.print(
        f"{len(capacities)} clients, milliseconds a sample modelled: {out_file}, {readable}",
        highlight=False,
        soft_wrap=True,
    )


@app.command("flower")
def flower(
    profiles: ProfilesArgument,
    out_file: Annotated[Path, typer.Option("--out", help="The JSON file of records to write.")],
) -> None:
    """Write a ConfigRecord of scalars for each device, by its target."""
    from toolkit.exchange.flower_records import write_config_records

    read = read_profiles(profiles)
    write_config_records(out_file, read)
    out.print(f"config records of {len(read)} devices: {out_file}", highlight=False, soft_wrap=True)


@app.command("llama-bench")
def llama_bench(
    results: Annotated[Path, typer.Argument(help="What llama-bench -o json printed.")],
    target: Annotated[str, typer.Option(help="What to call the device.")],
    out_file: Annotated[Path, typer.Option("--out", help="The profile to write.")],
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle that the tested model stands for.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, show_default="the fastest", help="Of several tested.")
    ] = None,
    lifetime_days: Annotated[
        float, typer.Option(min=0, help="How long it is believed, from its newest test on.")
    ] = 7.0,
    json: JsonOption = False,
) -> None:
    """Make a coarse profile, never valid, of a phone that was measured with llama-bench."""
    from exporters.manifest import Bundle
    from toolkit.cli.profile_tables import arm_tables
    from toolkit.exchange.llama_bench import profile_of_results, read_results

    profile = profile_of_results(
        read_results(results),
        target=target,
        lifetime=timedelta(days=lifetime_days),
        threads=threads,
        bundle_sha256=None if bundle is None else Bundle(bundle).sha256,
    )
    profile.write(out_file)
    if json:
        print_json(profile.model_dump(mode="json"))
        return
    for table in arm_tables(profile):
        out.print(table)
    word = "expired" if profile.expired(datetime.now(UTC)) else "expires"
    err.print(f"{word} at {profile.expires_at:%Y-%m-%d %H:%M %Z}", highlight=False)


def _speed(text: str) -> tuple[str, float]:
    target, found, speed = text.rpartition("=")
    try:
        if found and target and float(speed) > 0:
            return target, float(speed)
    except ValueError:
        pass
    raise typer.BadParameter(f"expected TARGET=KBIT, got {text!r}")
