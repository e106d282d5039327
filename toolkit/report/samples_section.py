"""The raw samples of a sweep on the page."""

from __future__ import annotations

from pathlib import Path

from device_bench.provenance import Sweep
from device_bench.samples import (
    SAMPLES_NAME,
    SWEEP_NAME,
    Measurement,
    read_measurements,
)
from toolkit.report.section import Section, figure, svg


def samples_section(folder: Path) -> Section:
    """Every sample in the order in which it was taken, warm-up included."""
    sweep = Sweep.read(folder / SWEEP_NAME)
    measurements = read_measurements(folder / SAMPLES_NAME)
    samples = sum(len(measurement.samples) for measurement in measurements)
    facts = [
        ("target", sweep.target),
        ("arms", str(len(sweep.plan.arms))),
        ("jobs", f"{len(measurements)} of {len(sweep.order)}, interleaved at random"),
        ("samples (measured)", str(samples)),
        ("threads", str(sweep.plan.threads)),
    ]
    plots = [_plot(measurements)] if measurements else []
    return Section("samples", f"{folder.name}: {sweep.target}", facts, plots=plots)


def _plot(measurements: list[Measurement]) -> str:
    drawn = figure()
    axes = drawn.subplots()
    for phase, colour in (("warmup", "tab:orange"), ("steady", "tab:blue")):
        points = [
            (measurement.position, sample.seconds_per_probe)
            for measurement in measurements
            for sample in measurement.samples
            if sample.phase == phase
        ]
        if points:
            axes.plot(*zip(*points, strict=True), ".", color=colour, label=phase)
    axes.set_yscale("log")
    axes.set_xlabel("job, in the order measured")
    axes.set_ylabel("seconds per probe")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return svg(drawn)
