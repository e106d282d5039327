"""What a process pays before its probes are as fast as they stay: loading, and its first probes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from device_bench.profiles.profile import ArmSummary, BackendProfile, Interval
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import (
    FIRST,
    SECOND,
    SOFT,
    figure,
    logarithmic,
    name_rows,
    note_row,
)
from toolkit.report.thinning import MOST_ARMS
from toolkit.report.wording import arm_name, interval_text, seconds_text


def start_part(backend: BackendProfile, anchor: str) -> Section | None:
    """Load, first and steady as three numbers; None: samples are of before they were told apart."""
    known = [(arm, arm.first_seconds) for arm in backend.arms if arm.first_seconds is not None]
    load = backend.load_seconds
    if load is None and not known:
        return None
    facts = []
    if load is not None:
        words = f"{seconds_text(load.value)} s ({interval_text(load)}), median of all jobs"
        facts.append(("loading the model", words))
    plots = [_plot(known)] if known else []
    return Section("Load, first and steady (measured)", f"{anchor}_start", facts, plots=plots)


def _times(arm: ArmSummary, first: Interval) -> float:
    return first.value / arm.seconds_per_probe.value


def _plot(known: Sequence[tuple[ArmSummary, Interval]]) -> Plot:
    most = max(known, key=lambda each: _times(*each))
    shown = known[:MOST_ARMS]

    def draw() -> Figure:
        drawn = figure(height=0.9 + 0.24 * len(shown))
        axes = drawn.subplots()
        rows = range(len(shown))
        steady = [arm.seconds_per_probe.value for arm, _ in shown]
        first = [seconds.value for _, seconds in shown]
        axes.hlines(rows, steady, first, color=SOFT, lw=1)
        axes.plot(first, rows, "D", color=SECOND, label="first")
        axes.plot(steady, rows, "o", color=FIRST, label="steady")
        for row, each in enumerate(shown):
            note_row(axes, row, f"× {_times(*each):.2f}")
        name_rows(axes, [arm_name(arm) for arm, _ in shown])
        logarithmic(axes, "x")
        axes.set_xlabel("seconds per probe")
        axes.grid(axis="x")
        drawn.legend(loc="outside upper right", ncols=2)
        return drawn

    return Plot(
        "First and steady probes",
        f"The first probes of a process take the longest beside steady ones at "
        f"{arm_name(most[0])}: {_times(*most):.2f} times as long.",
        draw,
        Table(
            "Seconds per probe, first and steady (measured)",
            columns("arm", "#first", "#first, 95 % CI", "#steady", "#steady, 95 % CI",
                    "#first over steady"),
            [
                (
                    arm_name(arm),
                    seconds_text(first.value),
                    interval_text(first),
                    seconds_text(arm.seconds_per_probe.value),
                    interval_text(arm.seconds_per_probe),
                    f"{_times(arm, first):.2f}",
                )
                for arm, first in known
            ],
        ),
        "The first repetition of a process compiles, reads weights and computes what stays; it is "
        "not among those that count.",
    )  # fmt: skip
