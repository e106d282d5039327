"""The jobs of a sweep on the device's clock: how slow, which are flagged, how fast the cores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import overload

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from device_bench.plans.sweep_plan import Arm
from device_bench.samples.measurement import Measurement
from toolkit.report.content import Cell, Plot, Table, columns
from toolkit.report.drawing import FIRST, INK, LINE, SECOND, SOFT, figure, logarithmic
from toolkit.report.wording import arm_namer, seconds_text

_NS_PER_MINUTE = 6e10


@dataclass(frozen=True)
class JobMark:
    """A job on the device's clock.

    Attributes:
        slowness: its median over that of all jobs of its arm.
        paces: of a fixed piece of work before and after it, over the sweep's shortest on the same
            cores; None: not measured.
        flags: what policies found of it, in words.
    """

    job: Measurement
    slowness: float
    paces: tuple[float, float] | None
    flags: tuple[str, ...]

    @property
    def start_ns(self) -> int:
        return self.job.span_ns[0]

    @property
    def end_ns(self) -> int:
        return self.job.span_ns[1]


def job_marks(
    measurements: Sequence[Measurement], flags: Mapping[int, tuple[str, ...]]
) -> list[JobMark]:
    """The jobs in the order in which they were measured."""
    seconds: dict[tuple[str, Arm], list[float]] = defaultdict(list)
    best: dict[str | None, int] = {}
    for job in measurements:
        seconds[job.backend, job.arm] += job.steady_seconds
        for pace_ns in _paces_ns(job):
            best[job.cpu_mask] = min(pace_ns, best.get(job.cpu_mask, pace_ns))
    marks = []
    for job in measurements:
        paces = [pace_ns / best[job.cpu_mask] for pace_ns in _paces_ns(job)]
        marks.append(
            JobMark(
                job=job,
                slowness=float(
                    np.median(job.steady_seconds) / np.median(seconds[job.backend, job.arm])
                ),
                paces=(paces[0], paces[1]) if len(paces) == 2 else None,
                flags=flags.get(job.position, ()),
            )
        )
    return marks


def _paces_ns(job: Measurement) -> list[int]:
    return [pace_ns for pace_ns in (job.pace_before_ns, job.pace_after_ns) if pace_ns]


@dataclass(frozen=True)
class Timeline:
    """What happened on the clock of a device, within one boot.

    Attributes:
        marks: the jobs, in order.
        long_run: when it began and ended; None: there was none.
        others_ns: more times that lie on it, such as telemetry's first and last.
    """

    marks: Sequence[JobMark]
    long_run: tuple[int, int] | None = None
    others_ns: Sequence[int] = ()

    @cached_property
    def ends_ns(self) -> tuple[int, int]:
        """The first and the last time of all."""
        times = [time for mark in self.marks for time in (mark.start_ns, mark.end_ns)]
        times += [*(self.long_run or ()), *self.others_ns]
        return (min(times), max(times)) if times else (0, 0)

    @property
    def in_order(self) -> bool:
        """Whether no job begins before an earlier one ended, as one does after a reboot."""
        return all(earlier.end_ns <= later.start_ns for earlier, later in pairwise(self.marks))

    @property
    def length(self) -> float:
        """In minutes."""
        first_ns, last_ns = self.ends_ns
        return max((last_ns - first_ns) / _NS_PER_MINUTE, 1e-3)

    @overload
    def minutes(self, time_ns: int) -> float: ...
    @overload
    def minutes(self, time_ns: NDArray[np.int64]) -> NDArray[np.float64]: ...
    def minutes(self, time_ns: int | NDArray[np.int64]) -> float | NDArray[np.float64]:
        """From its begin to a time, or to each of many."""
        return (time_ns - self.ends_ns[0]) / _NS_PER_MINUTE

    def span(self, mark: JobMark) -> tuple[float, float]:
        """Begin and end of a job in minutes."""
        return self.minutes(mark.start_ns), self.minutes(mark.end_ns)

    def shade(self, axes: Axes) -> None:
        """Jobs as bands behind a plot over minutes, flagged ones in the colour of flags."""
        for flagged, colour, alpha in ((False, LINE, 0.5), (True, SECOND, 0.22)):
            spans = [self.span(mark) for mark in self.marks if bool(mark.flags) == flagged]
            axes.broken_barh(
                [(start, end - start) for start, end in spans],
                (0, 1),
                transform=axes.get_xaxis_transform(),
                color=colour,
                alpha=alpha,
                lw=0,
            )
        self.hatch_long_run(axes)

    def hatch_long_run(self, axes: Axes) -> None:
        if self.long_run is not None:
            start, end = (self.minutes(time) for time in self.long_run)
            axes.axvspan(start, end, facecolor="none", edgecolor=LINE, hatch="//", lw=0)


def timeline_plot(timeline: Timeline) -> Plot:
    """The jobs of a sweep, one at least, over the same minutes as its telemetry."""
    marks = timeline.marks
    flagged = [mark for mark in marks if mark.flags]
    paces = [pace for mark in marks for pace in mark.paces or ()]
    shows = f"{len(flagged)} of {len(marks)} jobs are flagged."
    if paces:
        shows += (
            f" A fixed piece of work took up to {max(paces):.2f} times its shortest around jobs."
        )
    legend = "A bar is a job, as long as it took; flagged ones are marked by a cross."
    if paces:
        legend += " Below, the pace of one core: from before each job to after it."
    if timeline.long_run is not None:
        legend += " Hatched: the long run."
    return Plot(
        "Jobs over time",
        shows,
        lambda: _draw(timeline, with_paces=bool(paces)),
        _table(timeline),
        legend,
    )


def _draw(timeline: Timeline, *, with_paces: bool) -> Figure:
    marks = timeline.marks
    drawn = figure(height=3.6 if with_paces else 2.4)
    rows = drawn.subplots(
        2 if with_paces else 1,
        1,
        sharex=True,
        squeeze=False,
        height_ratios=(3, 2) if with_paces else (1,),
    )[:, 0]
    rows[0].axhline(1, color=SOFT, lw=1)
    for own, colour, marker, name in (
        ([mark for mark in marks if not mark.flags], FIRST, "|", "job"),
        ([mark for mark in marks if mark.flags], SECOND, "x", "flagged job"),
    ):
        if not own:
            continue
        starts, ends = zip(*map(timeline.span, own), strict=True)
        slowness = [mark.slowness for mark in own]
        rows[0].hlines(slowness, starts, ends, color=colour, lw=3)
        middles = [(start + end) / 2 for start, end in zip(starts, ends, strict=True)]
        rows[0].plot(middles, slowness, marker, color=colour, markersize=6, label=name)
    logarithmic(rows[0], "y")
    rows[0].set_ylabel("times the arm's\nmedian", fontsize=8)
    if with_paces:
        _draw_paces(rows[1], timeline)
    for axes in rows:
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
        timeline.hatch_long_run(axes)
    rows[-1].set_xlim(0, timeline.length)
    rows[-1].set_xlabel("minutes")
    return drawn


def _draw_paces(axes: Axes, timeline: Timeline) -> None:
    known = [(*timeline.span(mark), *mark.paces) for mark in timeline.marks if mark.paces]
    for start, end, before, after in known:
        axes.plot([start, end], [before, after], color=SOFT, lw=1)
    starts, ends, befores, afters = zip(*known, strict=True)
    axes.plot(starts, befores, "o", mfc="none", color=INK, markersize=4, label="before")
    axes.plot(ends, afters, ".", color=INK, label="after")
    axes.set_ylabel("times the\nshortest pace", fontsize=8)


def _table(timeline: Timeline) -> Table:
    marks = timeline.marks
    name = arm_namer([mark.job.arm for mark in marks])
    return Table(
        "Jobs in the order measured (measured)",
        columns(
            "#job",
            "arm",
            "#begins, min",
            "#lasts, s",
            "#s per probe, median",
            "#times the arm's median",
            "#pace before",
            "#pace after",
            "gate",
            "#waited, s",
            "flagged because",
        ),
        [
            (
                str(mark.job.position + 1),
                name(mark.job.arm),
                f"{timeline.minutes(mark.start_ns):.2f}",
                f"{(mark.end_ns - mark.start_ns) / 1e9:.3g}",
                seconds_text(float(np.median(mark.job.steady_seconds))),
                f"{mark.slowness:.3f}",
                *(("", "") if mark.paces is None else (f"{pace:.3f}" for pace in mark.paces)),
                *_gate(mark.job),
                Cell("; ".join(mark.flags)),
            )
            for mark in marks
        ],
    )


def _gate(job: Measurement) -> tuple[str, str]:
    conditions = job.conditions
    return ("", "") if conditions is None else (conditions.gate, f"{conditions.waited_s:.0f}")
