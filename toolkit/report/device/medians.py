"""Seconds per probe as a profile has them, where its samples are not at hand."""

from __future__ import annotations

from matplotlib.figure import Figure

from device_bench.profiles.profile import BackendProfile
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import draw_intervals, figure, logarithmic, name_rows
from toolkit.report.thinning import MOST_ARMS
from toolkit.report.wording import arm_name, interval_text, jobs_text, seconds_text


def medians_part(backend: BackendProfile, anchor: str) -> Section:
    """The median of each arm with its interval."""
    shown = backend.arms[:MOST_ARMS]

    def draw() -> Figure:
        drawn = figure(height=0.8 + 0.24 * len(shown))
        axes = drawn.subplots()
        draw_intervals(axes, [arm.seconds_per_probe for arm in shown])
        name_rows(axes, [arm_name(arm) for arm in shown])
        logarithmic(axes, "x")
        axes.set_xlabel("seconds per probe")
        axes.grid(axis="x")
        return drawn

    plot = Plot(
        "Median seconds per probe by arm",
        f"Medians of {len(backend.arms)} arms with their 95 % confidence intervals. With the "
        "samples folder beside the profile, a report shows every repetition.",
        draw,
        Table(
            "Median seconds per probe by arm (measured)",
            columns("arm", "#jobs", "#median", "#95 % CI", "#spread %", "#outliers"),
            [
                (
                    arm_name(arm),
                    jobs_text(arm),
                    seconds_text(arm.seconds_per_probe.value),
                    interval_text(arm.seconds_per_probe),
                    f"{100 * arm.relative_spread:.1f}",
                    str(arm.outliers),
                )
                for arm in backend.arms
            ],
        ),
    )
    return Section("Latency (measured)", f"{anchor}_latency", plots=[plot])
