"""`fwdllm profile`: samples to a capability profile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from device_bench.estimators import estimator_prices
from device_bench.profile import Profile, SlopeError
from exporters.lora.request import layers_text
from toolkit.cli.console import out as console
from toolkit.cli.console import print_json
from toolkit.cli.options import JsonOption


def profile(
    samples: Annotated[Path, typer.Argument(help="A samples folder of one device.")],
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
    from device_bench.fit_profile import fit_profile

    fitted = fit_profile(samples, now=datetime.now(UTC), beside=beside or ())
    fitted.write(out)
    if json:
        print_json(fitted.model_dump(mode="json"))
    else:
        for table in (*tables(fitted), *start_tables(fitted), *estimator_tables(fitted)):
            console.print(table)


def tables(fitted: Profile) -> list[Table]:
    """One table per backend: its verdict and its arms, measured beside modelled."""
    source = "measured, but for `modelled`"
    if fitted.derivation is not None:
        source = f"all modelled, from what was measured on {fitted.derivation.measured_on}"
    shown = []
    for backend in fitted.shown_backends:
        ranges = any(arm.layers is not None for arm in backend.arms)
        reasons = f" ({', '.join(backend.reasons)})" if backend.reasons else ""
        table = Table(
            "B",
            "T",
            "K",
            "estimator,\nlayers" if ranges else "estimator",
            "s/probe",
            "95 % CI",
            "modelled",
            "peak MB",
            title=f"{fitted.target}, {backend.backend}: {backend.verdict}{reasons}",
            title_justify="left",
            caption=f"batch B, tokens T, directions at once K; {source}",
            caption_justify="left",
        )
        for arm in backend.arms:
            seconds = arm.seconds_per_probe
            modelled = backend.modelled_seconds(arm.setting)
            table.add_row(
                str(arm.batch),
                str(arm.tokens),
                str(arm.directions_per_pass),
                f"{arm.estimator} {layers_text(arm.layers)}" if ranges else arm.estimator,
                f"{seconds.value:.3g}",
                f"{seconds.low:.3g} to {seconds.high:.3g}",
                "" if modelled is None else f"{modelled:.3g}",
                f"{arm.peak_memory_bytes / 1e6:.1f}",
            )
        shown.append(table)
    return shown


def start_tables(fitted: Profile) -> list[Table]:
    """One table per backend: what a process pays for loading and for its first probes."""
    shown = []
    for backend in fitted.shown_backends:
        load = backend.load_seconds
        arms = [(arm, arm.first_seconds) for arm in backend.arms if arm.first_seconds is not None]
        if load is None or not arms:
            continue
        table = Table(
            "B",
            "T",
            "K",
            "estimator",
            "layers",
            "first\ns/probe",
            "steady\ns/probe",
            title=f"{fitted.target}, {backend.backend}: loads in {load.value:.3g} s",
            title_justify="left",
            caption="first: of a process, after loading; medians, measured",
            caption_justify="left",
        )
        for arm, first in arms:
            table.add_row(
                str(arm.batch),
                str(arm.tokens),
                str(arm.directions_per_pass),
                arm.estimator,
                layers_text(arm.layers),
                f"{first.value:.3g}",
                f"{arm.seconds_per_probe.value:.3g}",
            )
        shown.append(table)
    return shown


def estimator_tables(fitted: Profile) -> list[Table]:
    """One table per backend: the estimators by seconds for slopes that are worth an exact one."""
    shown = []
    for backend in fitted.shown_backends:
        prices = estimator_prices(backend)
        if not prices:
            continue
        batch, tokens = prices[0].arm.batch, prices[0].arm.tokens
        table = Table(
            "estimator",
            "K",
            "s/probe",
            "slope error",
            "s/exact slope",
            title=f"{fitted.target}, {backend.backend}: slopes at B {batch}, T {tokens}",
            title_justify="left",
            caption="s/exact slope = s/probe · (1 + error²), modelled; the others measured",
            caption_justify="left",
        )
        for price in prices:
            table.add_row(
                price.arm.estimator,
                str(price.arm.directions_per_pass),
                f"{price.arm.seconds_per_probe.value:.3g}",
                _error_text(price.error),
                "" if price.exact_seconds is None else f"{price.exact_seconds:.3g}",
            )
        shown.append(table)
    return shown


def _error_text(error: SlopeError | None) -> str:
    """A slope error with the step it was measured at."""
    if error is None:
        return "not measured"
    step = "" if error.epsilon is None else f" at ε {error.epsilon:g}"
    return f"{error.relative_error:.2g}{step}"
