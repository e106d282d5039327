"""How a device goes on when it works for long: the course of the long run, and the factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from android_harness.telemetry.trace import Series, Trace
from device_bench.profiles.profile import BackendProfile, Sustained
from device_bench.samples.measurement import Measurement
from toolkit.report.content import Cell, Plot, Section, Table, columns
from toolkit.report.device.validity import finding_of
from toolkit.report.drawing import FIRST, INK, LINE, SECOND, SERIES, SOFT, figure, label
from toolkit.report.thinning import MOST_MARKS, extremes, spread_out
from toolkit.report.wording import UNKNOWN, arm_name, interval_text, seconds_text

_REASONS = ("sustained-run-too-short", "sustained-still-slowing")
_MOST_STRETCHES = 60
_SHORTEST_STRETCH_S = 10.0
_MOST_SENSORS = 3


def sustained_part(
    backend: BackendProfile, run: Measurement | None, trace: Trace | None, anchor: str
) -> Section:
    """The factor, how sure it is, and the course of the run where its samples are at hand.

    Args:
        run: the long run of the backend; None: its samples are not at hand.
        trace: of the same boot as the run; None: none was recorded.
    """
    title, own_anchor = "Sustained (measured)", f"{anchor}_sustained"
    found = backend.sustained
    if found is None:
        return Section(title, own_anchor, [("long run", _why_not(backend))])
    findings = [finding_of(reason) for reason in backend.reasons if reason in _REASONS]
    curve = _Curve.of(run) if run is not None else None
    plots = [_plot(found, curve, trace)] if curve is not None else []
    return Section(title, own_anchor, _facts(found), findings, plots)


def _why_not(backend: BackendProfile) -> str:
    if backend.sustained_factor is None:
        return "none was measured; fwdllm bench --sustained-minutes 10 does one"
    factor = backend.sustained_factor
    return f"none was measured here; the factor {factor.value:.2f} is modelled"


def _facts(found: Sustained) -> list[tuple[str, str | Cell]]:
    burst, steady, factor = (
        found.burst_seconds_per_probe,
        found.steady_seconds_per_probe,
        found.factor,
    )
    slowed, heat = found.slowed_after_s, found.max_celsius
    return [
        ("sustained factor", f"{factor.value:.3f} ({interval_text(factor)})"),
        ("arm", arm_name(found)),
        ("ran for", f"{found.seconds / 60:.1f} min"),
        ("s per probe, burst", f"{seconds_text(burst.value)} ({interval_text(burst)})"),
        ("s per probe, last third", f"{seconds_text(steady.value)} ({interval_text(steady)})"),
        (
            "slower from",
            "no change was found" if slowed is None else f"{slowed / 60:.1f} min on",
        ),
        ("flattened", "yes" if found.flattened else "no, it still grew slower at its end"),
        (
            "hottest",
            ", ".join(f"{name} {celsius:.1f} °C" for name, celsius in heat.items()) or UNKNOWN,
        ),
    ]


@dataclass(frozen=True)
class _Curve:
    """A long run: repetitions [n], and medians of stretches of its time [m]."""

    start_ns: int
    end_ns: int
    minutes: NDArray[np.float64]
    seconds: NDArray[np.float64]  # per probe
    stretch_minutes: NDArray[np.float64]  # their middles
    stretch_seconds: NDArray[np.float64]

    @classmethod
    def of(cls, run: Measurement) -> _Curve:
        start_ns, end_ns = run.steady_span_ns
        minutes = np.array([(each.start_ns - start_ns) / 6e10 for each in run.steady])
        seconds = np.array(run.steady_seconds)
        span_s = (end_ns - start_ns) / 1e9
        stretch_s = max(_SHORTEST_STRETCH_S, span_s / _MOST_STRETCHES)
        numbers = np.floor(minutes * 60 / stretch_s)
        stretches = [numbers == number for number in np.unique(numbers)]
        return cls(
            start_ns,
            end_ns,
            minutes,
            seconds,
            np.array([minutes[each].mean() for each in stretches]),
            np.array([np.median(seconds[each]) for each in stretches]),
        )


def _plot(found: Sustained, curve: _Curve, trace: Trace | None) -> Plot:
    heat = _hottest(trace, curve) if trace is not None and trace.one_boot else {}
    first, last = curve.stretch_seconds[0], curve.stretch_seconds[-1]
    slowed = found.slowed_after_s
    shows = (
        f"From {seconds_text(first)} s per probe at the begin to {seconds_text(last)} s at the end "
        f"of {found.seconds / 60:.1f} minutes"
        + ("" if slowed is None else f", slower from {slowed / 60:.1f} min on")
        + f"; {found.factor.value:.2f} times the burst in the last third."
    )
    legend = (
        "Dots are repetitions, the line the median of each stretch, dashes the burst level with "
        "its 95 % interval."
    )
    if slowed is not None:
        legend += " The dotted line is where it became slower."
    if heat:
        legend += " Below, the hottest sensors."
    return Plot("The course of the long run", shows, lambda: _draw(found, curve, heat),
                _table(found, curve), legend)  # fmt: skip


def _hottest(trace: Trace, curve: _Curve) -> Mapping[str, Series]:
    """The sensors that were hottest in the run, cut to its time."""
    cut = {}
    for name, series in trace.of("temperature_celsius").items():
        inside = (series.times_ns >= curve.start_ns) & (series.times_ns <= curve.end_ns)
        if inside.any():
            cut[name] = Series(series.times_ns[inside], series.values[inside])
    ranked = sorted(cut, key=lambda name: -float(cut[name].values.max()))
    return {name: cut[name] for name in ranked[:_MOST_SENSORS]}


def _table(found: Sustained, curve: _Curve) -> Table:
    burst = found.burst_seconds_per_probe.value
    return Table(
        "Medians of stretches of the long run (measured)",
        columns("#minute", "#s per probe, median", "#times the burst"),
        [
            (f"{minute:.2f}", seconds_text(seconds), f"{seconds / burst:.3f}")
            for minute, seconds in zip(curve.stretch_minutes, curve.stretch_seconds, strict=True)
        ],
    )


def _draw(found: Sustained, curve: _Curve, heat: Mapping[str, Series]) -> Figure:
    drawn = figure(height=4.4 if heat else 2.8)
    rows = drawn.subplots(
        2 if heat else 1,
        1,
        sharex=True,
        squeeze=False,
        height_ratios=(3, 2) if heat else (1,),
    )[:, 0]
    _draw_seconds(rows[0], found, curve)
    if heat:
        _draw_heat(rows[1], curve, heat)
    for axes in rows:
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
    rows[-1].set_xlim(0, (curve.end_ns - curve.start_ns) / 6e10)
    rows[-1].set_xlabel("minutes of the run")
    return drawn


def _draw_seconds(axes: Axes, found: Sustained, curve: _Curve) -> None:
    burst = found.burst_seconds_per_probe
    axes.axhspan(burst.low, burst.high, color=LINE, alpha=0.6, lw=0)
    axes.axhline(burst.value, color=SOFT, lw=1.2, ls="--", label="burst")
    shown = spread_out(np.arange(len(curve.minutes)), 4 * MOST_MARKS)
    axes.plot(curve.minutes[shown], curve.seconds[shown], ".", color=FIRST, alpha=0.5,
              label="repetition")  # fmt: skip
    axes.plot(curve.stretch_minutes, curve.stretch_seconds, color=INK, label="median")
    if found.slowed_after_s is not None:
        axes.axvline(found.slowed_after_s / 60, color=SECOND, lw=1.5, ls=":", label="slower from")
    # Single interruptions may be many times as long: they do not squeeze the rest.
    top = max(float(np.quantile(curve.seconds, 0.99)), float(curve.stretch_seconds.max()))
    low = min(float(curve.seconds.min()), burst.low)
    axes.set_ylim(max(0.0, low - 0.1 * (top - low)), top + 0.15 * (top - low))
    axes.set_ylabel("seconds per probe", fontsize=8)


def _draw_heat(axes: Axes, curve: _Curve, heat: Mapping[str, Series]) -> None:
    for number, (name, series) in enumerate(heat.items()):
        chosen = extremes(series.values)
        axes.plot(
            (series.times_ns[chosen] - curve.start_ns) / 6e10,
            series.values[chosen],
            ("-", "--", "-.")[number],
            color=SERIES[number],
            lw=1.2,
            label=label(name),
        )
    axes.set_ylabel("temperature,\n°C", fontsize=8)
