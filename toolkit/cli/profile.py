"""`fwdllm profile`: samples to a capability profile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.console import out as console
from toolkit.cli.console import print_json
from toolkit.cli.options import JsonOption


def profile(
    samples: Annotated[
        list[Path],
        typer.Argument(help="A samples folder of one device; one for each backend if several."),
    ],
    out: Annotated[Path, typer.Option(help="The profile to write.")],
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Samples of another bundle of the model on the same device, shown side by side."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fit the device's capability profile."""
    from device_bench.fitting.fit_profile import fit_profile
    from device_bench.profiles.join_profiles import join_profiles
    from toolkit.cli.profile_tables import profile_tables

    now = datetime.now(UTC)
    first, *others = samples
    fitted = join_profiles(
        [
            fit_profile(first, now=now, beside=beside or ()),
            *(fit_profile(other, now=now) for other in others),
        ]
    )
    fitted.write(out)
    if json:
        print_json(fitted.model_dump(mode="json"))
    else:
        for table in profile_tables(fitted):
            console.print(table)
