"""The arms of a backend and its estimators, as tables."""

from __future__ import annotations

from device_bench.profiles.estimators import EstimatorPrice, estimator_prices
from device_bench.profiles.profile import ArmSummary, BackendProfile
from exporters.lora.request import layers_text
from toolkit.report.content import Section, Table, columns
from toolkit.report.wording import interval_text, jobs_text, joules_text, megabytes, seconds_text


def arms_part(backend: BackendProfile, anchor: str) -> Section:
    """Every arm, measured beside modelled."""
    table = Table(
        f"{backend.backend}: batch B, tokens T, directions at once K",
        columns(
            "estimator",
            "#B",
            "#T",
            "#K",
            "layers",
            "#s per probe (measured)",
            "#95 % CI",
            "#jobs",
            "#s per probe (modelled)",
            "#peak MB (measured)",
            "#J per probe (measured)",
            "suspect because",
        ),
        [_row(backend, arm) for arm in backend.arms],
    )
    return Section("Arms", f"{anchor}_arms", tables=[table])


def _row(backend: BackendProfile, arm: ArmSummary) -> tuple[str, ...]:
    modelled = backend.modelled_seconds(arm.setting)
    return (
        arm.estimator,
        str(arm.batch),
        str(arm.tokens),
        str(arm.directions_per_pass),
        layers_text(arm.layers),
        seconds_text(arm.seconds_per_probe.value),
        interval_text(arm.seconds_per_probe),
        jobs_text(arm),
        "" if modelled is None else seconds_text(modelled),
        megabytes(arm.peak_memory_bytes),
        joules_text(arm),
        ", ".join(arm.reasons),
    )


def estimators_part(backend: BackendProfile, anchor: str) -> Section | None:
    """What slopes cost and how exact they are; None where no arm moves all adapted layers."""
    prices = estimator_prices(backend)
    if not prices:
        return None
    work = prices[0].arm
    table = Table(
        f"{backend.backend}: slopes at batch {work.batch}, {work.tokens} tokens",
        columns(
            "estimator",
            "#K",
            "#s per probe (measured)",
            "#relative slope error (measured)",
            "#s per exact slope (modelled)",
        ),
        [
            (
                price.arm.estimator,
                str(price.arm.directions_per_pass),
                seconds_text(price.arm.seconds_per_probe.value),
                "" if price.error is None else f"{price.error.relative_error:.2g}",
                "" if price.exact_seconds is None else seconds_text(price.exact_seconds),
            )
            for price in prices
        ],
    )
    return Section("Estimators", f"{anchor}_estimators", tables=[table])


def best_price(backend: BackendProfile) -> EstimatorPrice | None:
    """The estimator with the cheapest exact slope, or the fastest where no error was measured.

    Those whose slopes are noise come into question where all are.
    """
    prices = estimator_prices(backend)
    prices = [each for each in prices if not backend.is_noise(each.arm.estimator)] or prices
    known = [(price.exact_seconds, price) for price in prices if price.exact_seconds is not None]
    if known:
        return min(known, key=lambda each: each[0])[1]
    return min(prices, key=lambda price: price.arm.seconds_per_probe.value, default=None)
