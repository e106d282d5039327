"""Heat, frequencies and power while the device worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from android_harness.telemetry.power import battery_power
from android_harness.telemetry.trace import Series, Trace
from device_bench.samples import Measurement
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import LINE, SERIES, figure, label
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
    _Quantity("frequency_hertz", "GHz", 1e9, "frequency"),
    _Quantity("cooling_state", "steps", 1.0, "cooling"),
    _Quantity("memory_available_bytes", "GB", 1e9, "memory available"),
)
_WATTS = _Quantity("watts", "W", 1.0, "power of the battery")


def telemetry_part(
    trace: Trace | None, measurements: Sequence[Measurement], anchor: str
) -> Section:
    """The traces on the clock of the samples; where there are none, that there are none."""
    title, own_anchor = "Telemetry", f"{anchor}_telemetry"
    if trace is None or not trace.series:
        missing = trace.missing if trace is not None else ()
        facts = [("telemetry", "no telemetry was recorded")]
        return Section(title, own_anchor, facts + [("missing", reason) for reason in missing])
    facts = [("readings (measured)", _readings(trace))]
    facts += [("missing", reason) for reason in trace.missing]
    data = _table(trace)
    if not trace.one_boot:
        facts.append(("not drawn", "the device rebooted, so that times before and after overlap"))
        return Section(title, own_anchor, facts, tables=[data])
    power = battery_power(trace)
    facts += [("no power because", reason) for reason in power.reasons]
    drawn = [(each, _busiest(trace.of(each.name))) for each in _DRAWN]
    drawn.append((_WATTS, {"battery": power.watts} if len(power.watts.values) else {}))
    rows = [(quantity, lines) for quantity, lines in drawn if lines]
    if not rows:
        return Section(title, own_anchor, facts, tables=[data])
    plot = Plot(
        "Telemetry over time",
        "; ".join(_described(quantity, lines) for quantity, lines in rows) + ".",
        lambda: _draw(rows, trace, measurements),
        data,
        "Shaded: jobs of the sweep.",
    )
    return Section(title, own_anchor, facts, plots=[plot])


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
    trace: Trace,
    measurements: Sequence[Measurement],
) -> Figure:
    start_ns, end_ns = trace.span_ns
    drawn = figure(height=0.6 + 1.5 * len(rows))
    for axes, (quantity, lines) in zip(
        drawn.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0], rows, strict=True
    ):
        _shade_jobs(axes, measurements, start_ns)
        for number, (name, series) in enumerate(lines.items()):
            chosen = extremes(series.values)
            axes.plot(
                (series.times_ns[chosen] - start_ns) / 6e10,
                series.values[chosen] / quantity.per_unit,
                _STYLES[number],
                color=SERIES[number],
                lw=1.2,
                label=label(name),
            )
        axes.set_ylabel(f"{quantity.title},\n{quantity.unit}", fontsize=8)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
    axes.set_xlim(0, max((end_ns - start_ns) / 6e10, 1e-3))
    axes.set_xlabel("minutes since the first reading")
    return drawn


def _shade_jobs(axes: Axes, measurements: Sequence[Measurement], start_ns: int) -> None:
    spans = [
        (
            (job.samples[0].start_ns - start_ns) / 6e10,
            (job.samples[-1].start_ns + job.samples[-1].wall_ns - job.samples[0].start_ns) / 6e10,
        )
        for job in measurements
        if job.samples
    ]
    axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), color=LINE, alpha=0.5)


def _table(trace: Trace) -> Table:
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
