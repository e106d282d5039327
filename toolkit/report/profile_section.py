"""A capability profile on the page."""

from __future__ import annotations

import math

from device_bench.estimators import estimator_prices
from device_bench.profile import ArmSummary, BackendProfile, Profile
from exporters.lora.request import layers_text
from toolkit.report.section import Section, Table, figure, svg


def profile_section(profile: Profile) -> Section:
    """The device, and per backend what was measured beside what the cost model says."""
    facts = [
        ("device", profile.device.summary),
        ("measured at", f"{profile.measured_at:%Y-%m-%d %H:%M} UTC"),
        ("expires at", f"{profile.expires_at:%Y-%m-%d %H:%M} UTC"),
    ]
    for backend in profile.shown_backends:
        reasons = f": {', '.join(backend.reasons)}" if backend.reasons else ""
        facts.append((f"verdict on {backend.backend}", backend.verdict + reasons))
        facts += [
            (
                f"slope error of {error.estimator} (measured)",
                f"{error.relative_error:.2g} over {error.directions} directions"
                + ("" if error.epsilon is None else f" at epsilon {error.epsilon:g}"),
            )
            for error in backend.slope_errors
        ]
    return Section(
        "profile",
        profile.target,
        facts,
        plots=[_plot(backend) for backend in profile.shown_backends],
        tables=[
            table
            for backend in profile.shown_backends
            for table in (_arms(backend), _estimators(backend))
            if table is not None
        ],
    )


def _plot(backend: BackendProfile) -> str:
    drawn = figure()
    axes = drawn.subplots()
    places = range(len(backend.arms))
    seconds = [arm.seconds_per_probe for arm in backend.arms]
    axes.errorbar(
        places,
        [interval.value for interval in seconds],
        yerr=[
            [interval.value - interval.low for interval in seconds],
            [interval.high - interval.value for interval in seconds],
        ],
        fmt="o",
        capsize=3,
        label="measured median, 95 % CI",
    )
    modelled = [backend.modelled_seconds(arm) for arm in backend.arms]
    axes.plot(
        places,
        [math.nan if seconds is None else seconds for seconds in modelled],
        "x",
        color="tab:red",
        label="cost model",
    )
    axes.set_xticks(
        places,
        [_label(arm) for arm in backend.arms],
        fontsize=7,
        rotation=60,
    )
    axes.set_yscale("log")
    axes.set_ylabel("seconds per probe")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return svg(drawn)


def _label(arm: ArmSummary) -> str:
    label = f"B{arm.batch} T{arm.tokens}\nK{arm.directions_per_pass} {arm.estimator}"
    return label if arm.layers is None else f"{label} L{layers_text(arm.layers)}"


def _row(backend: BackendProfile, arm: ArmSummary) -> tuple[str, ...]:
    seconds, modelled = arm.seconds_per_probe, backend.modelled_seconds(arm)
    return (
        str(arm.batch),
        str(arm.tokens),
        str(arm.directions_per_pass),
        arm.estimator,
        layers_text(arm.layers),
        f"{seconds.value:.3g}",
        f"{seconds.low:.3g} to {seconds.high:.3g}",
        str(arm.repetitions),
        "" if modelled is None else f"{modelled:.3g}",
        f"{arm.peak_memory_bytes / 1e6:.1f}",
    )


def _arms(backend: BackendProfile) -> Table:
    return Table(
        caption=f"{backend.backend}: batch B, tokens T, directions at once K",
        headers=(
            "B",
            "T",
            "K",
            "estimator",
            "layers",
            "s per probe (measured)",
            "95 % CI",
            "n",
            "s per probe (modelled)",
            "peak memory MB (measured)",
        ),
        rows=[_row(backend, arm) for arm in backend.arms],
    )


def _estimators(backend: BackendProfile) -> Table | None:
    """What slopes cost and how exact they are; None where no arm moves all adapted layers."""
    prices = estimator_prices(backend)
    if not prices:
        return None
    work = prices[0].arm
    return Table(
        caption=f"{backend.backend}: slopes at batch {work.batch}, {work.tokens} tokens",
        headers=(
            "estimator",
            "K",
            "s per probe (measured)",
            "relative slope error (measured)",
            "s per exact slope",
        ),
        rows=[
            (
                price.arm.estimator,
                str(price.arm.directions_per_pass),
                f"{price.arm.seconds_per_probe.value:.3g}",
                "" if price.error is None else f"{price.error.relative_error:.2g}",
                "" if price.exact_seconds is None else f"{price.exact_seconds:.3g}",
            )
            for price in prices
        ],
    )
