"""All devices in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from matplotlib.figure import Figure

from device_bench.profiles.profile import BackendProfile, Interval, Profile
from toolkit.report.content import Cell, Plot, Section, Table, columns
from toolkit.report.device.arms import best_price
from toolkit.report.device.numerics import usable_text
from toolkit.report.device.section import clusters_text
from toolkit.report.device.validity import finding_of, standing_of
from toolkit.report.drawing import SECOND, draw_intervals, figure, logarithmic, name_rows
from toolkit.report.gather import Device
from toolkit.report.wording import UNKNOWN, arm_name, interval_text, megabytes, seconds_text

_MOST_ROWS = 40


def fleet_section(
    devices: Sequence[tuple[str, Device]], now: datetime, *, linked: bool = True
) -> Section:
    """A row per device and backend, and one per reason not to trust them.

    Args:
        devices: with the anchors of their sections.
        linked: the report has these sections.
    """
    known = [
        (anchor, device.profile, backend)
        for anchor, device in devices
        if device.profile is not None
        for backend in device.profile.backends
    ]
    standings = Counter(standing_of(profile, backend, now) for _, profile, backend in known)
    facts: list[tuple[str, str | Cell]] = [("devices", str(len(devices)))]
    facts += [
        (standing, str(standings[standing]))
        for standing in ("valid", "suspect", "invalid", "expired")
        if standings[standing]
    ]
    if not linked:
        facts.append(
            ("devices one by one", "left out of so many; write a report on those to look at")
        )
    unmeasured = [device.target for _, device in devices if device.profile is None]
    facts += [("nothing measured yet", target) for target in unmeasured]
    table = Table(
        "Devices by backend",
        columns(
            "device",
            "model",
            "backend",
            "verdict",
            "reasons",
            "best estimator",
            "#s per probe (measured)",
            "#s per exact slope (modelled)",
            "usable estimators",
            "#sustained factor",
            "#peak MB (measured)",
            "#J per probe (measured)",
            "chip",
            "clusters",
            "#expires",
        ),
        [
            _row(anchor if linked else None, profile, backend, now)
            for anchor, profile, backend in known
        ],
        filterable=True,
    )
    tables = [table, *_reasons(known)]
    plots = [plot] if (plot := _plot(known)) is not None else []
    return Section("Fleet", "fleet", facts, plots=plots, tables=tables)


def _reasons(known: Sequence[tuple[str, Profile, BackendProfile]]) -> Iterator[Table]:
    """Why devices are not valid, the most frequent reason first; nothing where all are."""
    counts = Counter(reason for _, _, backend in known for reason in backend.reasons)
    if not counts:
        return
    findings = {reason: finding_of(reason) for reason in counts}
    yield Table(
        "Reasons not to trust them",
        columns("reason", "verdict", "#devices by backend", "meaning", "what helps"),
        [
            (
                reason,
                Cell(findings[reason].standing, standing=findings[reason].standing),
                str(number),
                findings[reason].words.removeprefix(f"{reason}: "),
                findings[reason].remedy,
            )
            for reason, number in counts.most_common()
        ],
    )


def _row(
    anchor: str | None, profile: Profile, backend: BackendProfile, now: datetime
) -> tuple[str | Cell, ...]:
    facts, standing, price = profile.device, standing_of(profile, backend, now), best_price(backend)
    energy = least_joules(backend)
    return (
        Cell(profile.target, link=anchor),
        " ".join(name for name in (facts.manufacturer, facts.model) if name) or UNKNOWN,
        backend.backend,
        Cell(standing, standing=standing),
        ", ".join(backend.reasons),
        UNKNOWN if price is None else arm_name(price.arm),
        UNKNOWN if price is None else seconds_text(price.arm.seconds_per_probe.value),
        UNKNOWN
        if price is None or price.exact_seconds is None
        else seconds_text(price.exact_seconds),
        UNKNOWN if backend.numerics is None else usable_text(backend.numerics),
        _sustained_text(backend),
        megabytes(backend.peak_memory_bytes),
        UNKNOWN if energy is None else f"{energy.value:.3g}",
        facts.soc or facts.cpu_model or UNKNOWN,
        clusters_text(facts.clusters) or UNKNOWN,
        Cell(f"{profile.expires_at:%Y-%m-%d}", sort=profile.expires_at.timestamp()),
    )


def _sustained_text(backend: BackendProfile) -> str:
    """Seconds after long work over seconds at first, and whether that was measured."""
    if backend.sustained_factor is None:
        return UNKNOWN
    told = "measured" if backend.sustained is not None else "modelled"
    return f"{backend.sustained_factor.value:.2f} ({told})"


def least_joules(backend: BackendProfile) -> Interval | None:
    """Of the arm that takes the least; None: no arm's energy is known."""
    known = [arm.joules_per_probe for arm in backend.arms if arm.joules_per_probe is not None]
    return min(known, key=lambda each: each.value, default=None)


def _plot(known: Sequence[tuple[str, Profile, BackendProfile]]) -> Plot | None:
    """The probes of each device's best estimator; None where no device has one."""
    priced = [
        (f"{profile.target} {backend.backend}", price)
        for _, profile, backend in known
        if (price := best_price(backend)) is not None
    ]
    if not priced:
        return None
    priced.sort(key=lambda each: each[1].arm.seconds_per_probe.value)
    shown = priced[:_MOST_ROWS]
    fastest, slowest = (priced[place][1].arm.seconds_per_probe.value for place in (0, -1))
    shows = (
        "With each device's best estimator, at the largest work that it was measured at, the "
        f"fastest takes {fastest:.3g} s per probe"
        + (f", the slowest {slowest:.3g} s." if len(priced) > 1 else ".")
    )
    legend = (
        "Dots with 95 % intervals are medians (measured), crosses what slopes that are worth an "
        "exact one cost (modelled)."
    )
    if len(shown) < len(priced):
        legend += f" The fastest {len(shown)} of {len(priced)} are drawn."

    def draw() -> Figure:
        drawn = figure(height=0.9 + 0.26 * len(shown))
        axes = drawn.subplots()
        seconds = [price.arm.seconds_per_probe for _, price in shown]
        draw_intervals(axes, seconds, legend="s per probe (measured)")
        exact = [(price.exact_seconds, row) for row, (_, price) in enumerate(shown)]
        exact = [each for each in exact if each[0] is not None]
        if exact:
            axes.plot(
                *zip(*exact, strict=True), "x", color=SECOND, label="s per exact slope (modelled)"
            )
        name_rows(axes, [name for name, _ in shown])
        logarithmic(axes, "x")
        axes.set_xlabel("seconds")
        axes.grid(axis="x")
        drawn.legend(loc="outside upper right", ncols=2)
        return drawn

    return Plot(
        "Seconds per probe by device",
        shows,
        draw,
        Table(
            "Seconds per probe of each device's best estimator, fastest first",
            columns(
                "device and backend", "estimator", "#measured", "#95 % CI", "#exact (modelled)"
            ),
            [
                (
                    name,
                    arm_name(price.arm),
                    seconds_text(price.arm.seconds_per_probe.value),
                    interval_text(price.arm.seconds_per_probe),
                    "" if price.exact_seconds is None else seconds_text(price.exact_seconds),
                )
                for name, price in shown
            ],
        ),
        legend,
    )
