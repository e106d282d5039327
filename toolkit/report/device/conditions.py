"""What held while a device was measured: its jobs and its sensors, on one clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from device_bench.samples.measurement import Measurement
from toolkit.report.content import Cell, Section
from toolkit.report.device.flags import flagged_jobs
from toolkit.report.device.telemetry import telemetry_facts, telemetry_plot, telemetry_table
from toolkit.report.device.timeline import Timeline, job_marks, timeline_plot
from toolkit.report.gather import Samples

_REBOOTED = "the device rebooted, so that times before and after overlap"


def conditions_part(samples: Samples, anchor: str) -> Section:
    """The sweep's jobs and the device's sensors over the same minutes."""
    title, own_anchor = "Conditions (measured)", f"{anchor}_conditions"
    trace, measurements = samples.trace, samples.measurements
    facts = [*_gate_facts(measurements), *telemetry_facts(trace)]
    data = [] if trace is None or not trace.series else [telemetry_table(trace)]
    timeline = _timeline(samples)
    if not timeline.in_order or (trace is not None and not trace.one_boot):
        facts.append(("not drawn", _REBOOTED))
        return Section(title, own_anchor, facts, tables=data)
    plots = [timeline_plot(timeline)] if timeline.marks else []
    sensors = telemetry_plot(trace, timeline) if trace is not None else None
    if sensors is not None:
        return Section(title, own_anchor, facts, plots=[*plots, sensors])
    return Section(title, own_anchor, facts, plots=plots, tables=data)


def _timeline(samples: Samples) -> Timeline:
    trace, measurements = samples.trace, samples.measurements
    long_run = samples.long_run()
    return Timeline(
        job_marks(measurements, flagged_jobs(measurements, trace)),
        None if long_run is None else long_run.span_ns,
        trace.span_ns if trace is not None and trace.series else (),
    )


def _gate_facts(measurements: Sequence[Measurement]) -> list[tuple[str, str | Cell]]:
    """What the cooldown gate did; nothing where no job was looked at."""
    passed = [job.conditions for job in measurements if job.conditions is not None]
    if not passed:
        return []
    outcomes = Counter(each.gate for each in passed)
    waited = [each.waited_s for each in passed]
    words = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
    facts: list[tuple[str, str | Cell]] = [("cooldown gate, jobs by outcome", words)]
    if any(waited):
        facts.append(
            ("waited for cooling", f"{sum(waited):.0f} s in all, {max(waited):.0f} s at most")
        )
    return facts
