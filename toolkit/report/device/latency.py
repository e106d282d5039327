"""How long a probe took: every repetition of every arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from android_harness.records import Phase
from device_bench.plans.sweep_plan import Arm
from device_bench.profiles.profile import Interval, Placement
from device_bench.samples.measurement import Measurement
from device_bench.samples.placement import on_placement
from device_bench.samples.stop_rule import job_median
from device_bench.statistics import Summary, outliers, summarise
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import (
    FIRST,
    INK,
    SECOND,
    SOFT,
    figure,
    logarithmic,
    name_rows,
    note_row,
)
from toolkit.report.thinning import MOST_ARMS, MOST_MARKS, spread_out
from toolkit.report.wording import arm_name, arm_namer, seconds_text


@dataclass(frozen=True)
class _ArmTimes:
    name: str
    seconds: NDArray[np.float64]  # per probe, of the repetitions that count
    summary: Summary
    interval: Interval  # of the median over jobs
    jobs: int


def latency_part(
    measurements: Sequence[Measurement], placements: Sequence[Placement], anchor: str
) -> Section:
    """The distribution of each arm of one backend, and how the device changed over the sweep.

    Args:
        placements: of the backend's profile; arms are those of the chosen one.
    """
    chosen = next((each for each in placements if each.chosen), None)
    own = measurements if chosen is None else on_placement(measurements, chosen)
    return Section(
        "Latency (measured)",
        f"{anchor}_latency",
        plots=[_distributions(_arms(own)), _course(measurements)],
    )


def _arms(measurements: Sequence[Measurement]) -> list[_ArmTimes]:
    by_name: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in sorted(measurements, key=lambda each: each.slot.arm):
        by_name[arm_name(measurement.arm)].append(measurement)
    return [_times(name, jobs) for name, jobs in by_name.items()]


def _times(name: str, jobs: Sequence[Measurement]) -> _ArmTimes:
    seconds = [value for job in jobs for value in job.steady_seconds]
    interval = Interval.of_median([job_median(job) for job in jobs])
    return _ArmTimes(name, np.array(seconds), summarise(seconds), interval, len(jobs))


def _distributions(arms: Sequence[_ArmTimes]) -> Plot:
    shown = arms[:MOST_ARMS]
    repetitions = sum(arm.summary.n for arm in arms)
    far = sum(len(arm.summary.outliers) for arm in arms)
    legend = (
        "Each dot is a repetition, a cross an outlier, the bar the median of the jobs and the box "
        "its 95 % confidence interval."
    )
    if len(shown) < len(arms):
        legend += f" The first {len(shown)} arms are drawn, the table has all."
    if any(arm.summary.n > MOST_MARKS for arm in shown):
        legend += f" Of an arm {MOST_MARKS} repetitions at even ranks are drawn, and outliers."

    def draw() -> Figure:
        drawn = figure(height=1.0 + 0.27 * len(shown))
        axes = drawn.subplots()
        for row, arm in enumerate(shown):
            far = outliers(arm.seconds)
            near = spread_out(np.sort(arm.seconds[~far]))
            # A fixed scatter across the row, so that equal times stay apart.
            across = row + 0.5 * (np.arange(len(near)) * 0.618034 % 1 - 0.5)
            axes.fill_betweenx(
                (row - 0.36, row + 0.36), arm.interval.low, arm.interval.high,
                color=FIRST, alpha=0.25, lw=0,
            )  # fmt: skip
            axes.plot(near, across, ".", color=FIRST, markersize=5, alpha=0.8)
            axes.plot(arm.seconds[far], np.full(far.sum(), row), "x", color=SECOND, markersize=6)
            axes.vlines(arm.interval.value, row - 0.36, row + 0.36, color=INK, lw=1.6)
            note_row(axes, row, f"n {arm.summary.n}")
        name_rows(axes, [arm.name for arm in shown])
        logarithmic(axes, "x")
        axes.grid(axis="x")
        axes.set_xlabel("seconds per probe")
        return drawn

    return Plot(
        "Seconds per probe by arm",
        f"{repetitions} repetitions of {len(arms)} arms, {far} of them outliers (modified z-score "
        "above 3.5; none is dropped).",
        draw,
        _table(arms),
        legend,
    )


def _table(arms: Sequence[_ArmTimes]) -> Table:
    return Table(
        "Seconds per probe by arm (measured); batch B, tokens T, directions at once K, layers L",
        columns("arm", "#jobs", "#n", "#median", "#CI low", "#CI high", "#min", "#max", "#spread %",
                "#outliers"),
        [
            (
                arm.name,
                str(arm.jobs),
                str(arm.summary.n),
                seconds_text(arm.interval.value),
                seconds_text(arm.interval.low),
                seconds_text(arm.interval.high),
                seconds_text(arm.seconds.min()),
                seconds_text(arm.seconds.max()),
                f"{100 * arm.summary.relative_spread:.1f}",
                str(len(arm.summary.outliers)),
            )
            for arm in arms
        ],
    )  # fmt: skip


def _course(measurements: Sequence[Measurement]) -> Plot:
    """Each repetition over its arm's median, by job: a device that heats up climbs."""
    seconds: dict[Arm, list[float]] = defaultdict(list)
    for job in measurements:
        seconds[job.arm] += job.steady_seconds
    medians = {arm: float(np.median(values)) for arm, values in seconds.items()}
    name = arm_namer(list(medians))
    ordered = sorted(measurements, key=lambda each: each.position)
    points: dict[Phase, list[tuple[int, float]]] = {"steady": [], "warmup": [], "first": []}
    middles = []
    for job in ordered:
        median = medians[job.arm]
        for sample in job.samples:
            points[sample.phase].append((job.position + 1, sample.seconds_per_probe / median))
        middles.append((job.position + 1, float(np.median(job.steady_seconds)) / median))
    slowest, fastest = (pick(ratio for _, ratio in middles) for pick in (max, min))

    def draw() -> Figure:
        drawn = figure(height=2.6)
        axes = drawn.subplots()
        axes.axhline(1, color=SOFT, lw=1)
        looks: dict[Phase, tuple[str, str, str]] = {
            "first": ("x", SOFT, "first"),
            "warmup": ("^", SECOND, "warm-up"),
            "steady": (".", FIRST, "counted"),
        }
        for phase, (marker, colour, name) in looks.items():
            if points[phase]:
                jobs, ratios = (np.array(each) for each in zip(*points[phase], strict=True))
                chosen = spread_out(np.arange(len(jobs)), 4 * MOST_MARKS)
                axes.plot(jobs[chosen], ratios[chosen], marker, color=colour, alpha=0.7, label=name)
        axes.plot(*zip(*middles, strict=True), color=INK, lw=1.2, label="median of the job")
        logarithmic(axes, "y")
        axes.set_xlabel("job, in the order measured")
        axes.set_ylabel("times the arm's median")
        axes.grid(axis="y")
        drawn.legend(loc="outside upper right", ncols=4)
        return drawn

    return Plot(
        "The course of the sweep",
        f"Medians of jobs lie between {fastest:.2f} and {slowest:.2f} times those of their arms.",
        draw,
        Table(
            "Jobs in the order measured",
            columns("#job", "arm", "#block", "#s per probe, median", "#times the arm's median"),
            [
                (
                    str(job.position + 1),
                    name(job.arm),
                    str(job.slot.block + 1),
                    seconds_text(float(np.median(job.steady_seconds))),
                    f"{ratio:.3f}",
                )
                for job, (_, ratio) in zip(ordered, middles, strict=True)
            ],
        ),
        "Each repetition over the median of its arm, in the order measured: a device that slows "
        "down climbs to the right.",
    )
