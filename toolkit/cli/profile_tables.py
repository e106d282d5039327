"""A capability profile as tables: its arms, starts, placements, numbers and estimators."""

from __future__ import annotations

from rich.table import Table

from device_bench.numerics.contract import EstimatorNumerics, Numerics, SlopeError
from device_bench.profiles.estimators import estimator_prices
from device_bench.profiles.profile import ArmSummary, Profile
from exporters.lora.request import layers_text


def profile_tables(fitted: Profile) -> list[Table]:
    """All of them."""
    shown = (arm_tables, start_tables, placement_tables, numerics_tables, estimator_tables)
    return [table for each in shown for table in each(fitted)]


def arm_tables(fitted: Profile) -> list[Table]:
    """One table per backend: its verdict and its arms, measured beside modelled."""
    source = "measured, but for `modelled`"
    if fitted.derivation is not None:
        source = f"all modelled, from what was measured on {fitted.derivation.measured_on}"
    shown = []
    for backend in fitted.shown_backends:
        ranges = any(arm.layers is not None for arm in backend.arms)
        reasons = f" ({', '.join(backend.reasons)})" if backend.reasons else ""
        table = Table(
            "B, T, K",
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
                _size_text(arm),
                f"{arm.estimator} {layers_text(arm.layers)}" if ranges else arm.estimator,
                f"{seconds.value:.3g}",
                f"{seconds.low:.3g} to {seconds.high:.3g}",
                "" if modelled is None else f"{modelled:.3g}",
                f"{arm.peak_memory_bytes / 1e6:.1f}",
            )
        shown.append(table)
    return shown


def _size_text(arm: ArmSummary) -> str:
    return f"{arm.batch}, {arm.tokens}, {arm.directions_per_pass}"


def start_tables(fitted: Profile) -> list[Table]:
    """One table per backend: what a process pays for loading and for its first probes."""
    shown = []
    for backend in fitted.shown_backends:
        load = backend.load_seconds
        arms = [(arm, arm.first_seconds) for arm in backend.arms if arm.first_seconds is not None]
        if load is None or not arms:
            continue
        table = Table(
            "B, T, K",
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
                _size_text(arm),
                arm.estimator,
                layers_text(arm.layers),
                f"{first.value:.3g}",
                f"{arm.seconds_per_probe.value:.3g}",
            )
        shown.append(table)
    return shown


def placement_tables(fitted: Profile) -> list[Table]:
    """One table per backend that was measured on several: the fastest first."""
    shown = []
    for backend in fitted.shown_backends:
        if len(backend.placements) < 2:
            continue
        table = Table(
            "threads",
            "cores",
            "times the fastest",
            title=f"{fitted.target}, {backend.backend}: threads and cores",
            title_justify="left",
            caption=f"geometric mean over the {backend.placements[0].arms} arms that all have, "
            "measured; the profile is of the fastest",
            caption_justify="left",
        )
        for placement in backend.placements:
            relative = placement.relative_seconds
            table.add_row(
                str(placement.threads),
                placement.cpu_mask or "any",
                "" if relative is None else f"{relative:.3g}",
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


def numerics_tables(fitted: Profile) -> list[Table]:
    """One table per backend: whether its loss is as exported, and how much of a slope is signal."""
    shown = []
    for backend in fitted.shown_backends:
        numerics = backend.numerics
        if numerics is None:
            continue
        table = Table(
            "estimator",
            "ε",
            "signal",
            "noise",
            "known by",
            "signal/noise",
            title=f"{fitted.target}, {backend.backend}: {_loss_text(numerics)}",
            title_justify="left",
            caption="signal and noise of slopes: root mean squares, nats per unit; measured",
            caption_justify="left",
        )
        for each in numerics.estimators:
            table.add_row(
                each.estimator,
                "" if each.epsilon is None else f"{each.epsilon:.2g}",
                f"{each.signal:.3g}",
                f"{each.noise:.2g}",
                each.noise_from,
                _ratio_text(each),
            )
        shown.append(table)
    return shown


def _ratio_text(each: EstimatorNumerics) -> str:
    ratio = "no noise seen" if each.signal_to_noise is None else f"{each.signal_to_noise:.3g}"
    return ratio if each.usable else f"{ratio}: not usable"


def _loss_text(numerics: Numerics) -> str:
    """What is known of the loss, in one line."""
    if numerics.loss is None:
        return f"no loss: {numerics.failure}"
    repeated = f"repeats to {numerics.loss_repeatability or 0:.2g}"
    if numerics.loss_difference is None:
        return f"loss {numerics.loss:.5g}, {repeated}"
    verdict = "as exported" if numerics.loss_as_exported else "NOT as exported"
    return (
        f"loss {numerics.loss:.5g}, {verdict} (off by {numerics.loss_difference:.2g} of "
        f"{numerics.loss_tolerance:.2g} allowed), {repeated}"
    )


def _error_text(error: SlopeError | None) -> str:
    """A slope error with the step it was measured at."""
    if error is None:
        return "not measured"
    step = "" if error.epsilon is None else f" at ε {error.epsilon:.2g}"
    return f"{error.relative_error:.2g}{step}"
