"""Heat, frequencies and power while the device worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from android_harness.telemetry.power import battery_power
from android_harness.telemetry.trace import Series, Trace
from toolkit.report.content import Cell, Plot, Table, columns
from toolkit.report.device.timeline import Timeline
from toolkit.report.drawing import SERIES, figure, label
from toolkit.report.thinning import extremes

# Zones and cores beyond these are in the table alone.
_MOST_LINES = 4
_STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class _Quantity:
    name: str
    unit: str
    per_unit: float
    title: str


_DRAWN = (
    _Quantity("temperature_celsius", "°C", 1.0, "temperature"),
    _Quantity("thermal_status", "of 6", 1.0, "thermal status"),
    _Quantity("frequency_hertz", "GHz", 1e9, "frequency"),
    _Quantity("cooling_state", "steps", 1.0, "cooling"),
    _Quantity("memory_available_bytes", "GB", 1e9, "memory available"),
)
_WATTS = _Quantity("watts", "W", 1.0, "power of the battery")


def telemetry_facts(trace: Trace | None) -> list[tuple[str, str | Cell]]:
    """How much was read, and what is missing."""
    if trace is None or not trace.series:
        missing = trace.missing if trace is not None else ()
        return [
            ("telemetry", "no telemetry was recorded"),
            *(("missing", reason) for reason in missing),
        ]
    return [
        ("readings", _readings(trace)),
        *(("missing", reason) for reason in trace.missing),
        *(("no power because", reason) for reason in battery_power(trace).reasons),
    ]


def telemetry_plot(trace: Trace, timeline: Timeline) -> Plot | None:
    """The sensors over the timeline; None: none of those that are drawn was read.

    Args:
        trace: of one boot.
    """
    watts = battery_power(trace).watts
    drawn = [(each, _busiest(trace.of(each.name))) for each in _DRAWN]
    drawn.append((_WATTS, {"battery": watts} if len(watts.values) else {}))
    rows = [(quantity, lines) for quantity, lines in drawn if lines]
    if not rows:
        return None
    return Plot(
        "Telemetry over time",
        "; ".join(_described(quantity, lines) for quantity, lines in rows) + ".",
        lambda: _draw(rows, timeline),
        telemetry_table(trace),
        "Shaded: jobs of the sweep, those that are flagged in colour"
        + ("." if timeline.long_run is None else ", and the long run, hatched."),
    )


def _readings(trace: Trace) -> str:
    first_ns, last_ns = trace.span_ns
    number = sum(len(series.values) for series in trace.series.values())
    return f"{number} of {len(trace.series)} channels over {(last_ns - first_ns) / 6e10:.1f} min"


def _busiest(sensors: Mapping[str, Series]) -> dict[str, Series]:
    """The sensors whose readings move the most: those that the work acts upon."""
    ranked = sorted(sensors, key=lambda name: (-float(np.ptp(sensors[name].values)), name))
    return {name: sensors[name] for name in sorted(ranked[:_MOST_LINES])}


def _described(quantity: _Quantity, lines: Mapping[str, Series]) -> str:
    low = min(float(series.values.min()) for series in lines.values()) / quantity.per_unit
    high = max(float(series.values.max()) for series in lines.values()) / quantity.per_unit
    return f"{quantity.title} from {low:.3g} to {high:.3g} {quantity.unit}"


def _draw(
    rows: Sequence[tuple[_Quantity, Mapping[str, Series]]],
    timeline: Timeline,
) -> Figure:
    drawn = figure(height=0.6 + 1.5 * len(rows))
    for axes, (quantity, lines) in zip(
        drawn.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0], rows, strict=True
    ):
        timeline.shade(axes)
        for number, (name, series) in enumerate(lines.items()):
            chosen = extremes(series.values)
            axes.plot(
                timeline.minutes(series.times_ns[chosen]),
                series.values[chosen] / quantity.per_unit,
                _STYLES[number],
                color=SERIES[number],
                lw=1.2,
                label=label(name),
            )
        axes.set_ylabel(f"{quantity.title},\n{quantity.unit}", fontsize=8)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
    axes.set_xlim(0, timeline.length)
    axes.set_xlabel("minutes")
    return drawn


def telemetry_table(trace: Trace) -> Table:
    """A row for each channel."""
    return Table(
        "Channels of telemetry.jsonl, which has every reading",
        columns("channel", "#readings", "#first", "#min", "#median", "#max", "#last"),
        [
            (
                channel,
                str(len(series.values)),
                *(
                    f"{value:.6g}"
                    for value in (
                        series.values[0],
                        series.values.min(),
                        np.median(series.values),
                        series.values.max(),
                        series.values[-1],
                    )
                ),
            )
            for channel, series in sorted(trace.series.items())
        ],
    )
