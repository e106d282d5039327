"""A capability profile on the page."""

from __future__ import annotations

from device_bench.profile import BackendProfile, Profile
from toolkit.report.section import Section, Table, figure, svg


def profile_section(profile: Profile) -> Section:
    """The device, and per backend what was measured beside what the cost model says."""
    facts = [
        ("device", profile.device.summary),
        ("measured at", f"{profile.measured_at:%Y-%m-%d %H:%M} UTC"),
        ("expires at", f"{profile.expires_at:%Y-%m-%d %H:%M} UTC"),
    ]
    for backend in profile.backends:
        reasons = f": {', '.join(backend.reasons)}" if backend.reasons else ""
        facts.append((f"verdict on {backend.backend}", backend.verdict + reasons))
    return Section(
        "profile",
        profile.target,
        facts,
        plots=[_plot(backend) for backend in profile.backends],
        tables=[_table(backend) for backend in profile.backends],
    )


def _modelled(backend: BackendProfile) -> list[float]:
    return [
        backend.cost.probe_seconds(
            batch=arm.batch,
            tokens=arm.tokens,
            directions=arm.directions_per_pass,
            estimator=arm.estimator,
        )
        for arm in backend.arms
    ]


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
    axes.plot(places, _modelled(backend), "x", color="tab:red", label="cost model")
    axes.set_xticks(
        places,
        [
            f"B{arm.batch} T{arm.tokens}\nK{arm.directions_per_pass} {arm.estimator}"
            for arm in backend.arms
        ],
        fontsize=7,
        rotation=60,
    )
    axes.set_yscale("log")
    axes.set_ylabel("seconds per probe")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return svg(drawn)


def _table(backend: BackendProfile) -> Table:
    return Table(
        caption=f"{backend.backend}: batch B, tokens T, directions at once K",
        headers=(
            "B",
            "T",
            "K",
            "estimator",
            "s per probe (measured)",
            "95 % CI",
            "n",
            "s per probe (modelled)",
            "peak memory MB (measured)",
        ),
        rows=[
            (
                str(arm.batch),
                str(arm.tokens),
                str(arm.directions_per_pass),
                arm.estimator,
                f"{arm.seconds_per_probe.value:.3g}",
                f"{arm.seconds_per_probe.low:.3g} to {arm.seconds_per_probe.high:.3g}",
                str(arm.repetitions),
                f"{modelled:.3g}",
                f"{arm.peak_memory_bytes / 1e6:.1f}",
            )
            for arm, modelled in zip(backend.arms, _modelled(backend), strict=True)
        ],
    )
