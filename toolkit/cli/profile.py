"""`fwdllm profile`: samples to a capability profile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from device_bench.profile import Profile
from toolkit.cli.console import out as console
from toolkit.cli.console import print_json
from toolkit.cli.options import JsonOption


def profile(
    samples: Annotated[Path, typer.Argument(help="A samples folder of one device.")],
    out: Annotated[Path, typer.Option(help="The profile to write.")],
    json: JsonOption = False,
) -> None:
    """Fit the device's capability profile."""
    from device_bench.fit_profile import fit_profile

    fitted = fit_profile(samples, now=datetime.now(UTC))
    fitted.write(out)
    if json:
        print_json(fitted.model_dump(mode="json"))
    else:
        for table in tables(fitted):
            console.print(table)


def tables(fitted: Profile) -> list[Table]:
    """One table per backend: its verdict and its arms, measured beside modelled."""
    shown = []
    for backend in fitted.backends:
        reasons = f" ({', '.join(backend.reasons)})" if backend.reasons else ""
        table = Table(
            "B",
            "T",
            "K",
            "estimator",
            "s/probe",
            "95 % CI",
            "modelled",
            "peak MB",
            title=f"{fitted.target}, {backend.backend}: {backend.verdict}{reasons}",
            title_justify="left",
            caption="batch B, tokens T, directions at once K; measured, but for `modelled`",
            caption_justify="left",
        )
        for arm in backend.arms:
            seconds = arm.seconds_per_probe
            modelled = backend.cost.probe_seconds(
                batch=arm.batch,
                tokens=arm.tokens,
                directions=arm.directions_per_pass,
                estimator=arm.estimator,
            )
            table.add_row(
                str(arm.batch),
                str(arm.tokens),
                str(arm.directions_per_pass),
                arm.estimator,
                f"{seconds.value:.3g}",
                f"{seconds.low:.3g} to {seconds.high:.3g}",
                f"{modelled:.3g}",
                f"{arm.peak_memory_bytes / 1e6:.1f}",
            )
        shown.append(table)
    return shown
