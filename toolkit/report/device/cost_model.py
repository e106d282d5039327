"""What the cost model says of the arms that it was fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from device_bench.costs.cost_model import CostModel
from device_bench.profiles.profile import BackendProfile
from toolkit.report.content import Cell, Plot, Section, Table, columns
from toolkit.report.device.cost_terms import FORMULA, terms_table
from toolkit.report.device.fitted import MARKERS, Fitted, by_kind, fitted_arms
from toolkit.report.device.roofline import roofline_plot
from toolkit.report.drawing import INK, LINE, SERIES, SOFT, figure, logarithmic
from toolkit.report.wording import arm_name, interval_text, seconds_text


def cost_part(backend: BackendProfile, anchor: str) -> Section | None:
    """The models of a backend against its arms; None where no model was fitted."""
    facts: list[tuple[str, str | Cell]] = []
    plots, tables = [], []
    for name, model, tangents in (
        ("differences", backend.cost, False),
        ("tangents", backend.tangent_cost, True),
    ):
        if model is None:
            continue
        facts.append((f"error of {name}, an arm left out", _error_text(model)))
        arms = list(fitted_arms(backend, tangents=tangents))
        tables.append(terms_table(arms, model, name))
        if arms:
            plots.append(_plot(arms, model, name))
            roofline = roofline_plot(arms, model, name)
            plots += [roofline] if roofline is not None else []
    if not tables:
        return None
    facts[:0] = [
        ("seconds of measuring slopes together", FORMULA),
        ("fitted to arms that were", backend.cost_provenance),
    ]
    return Section("Cost model", f"{anchor}_cost", facts, plots=plots, tables=tables)


def _error_text(model: CostModel) -> str:
    error = model.median_relative_error
    return "not known of a single arm" if error is None else f"{error:.1%} (median)"


def _plot(arms: Sequence[Fitted], model: CostModel, name: str) -> Plot:
    worst = max(arms, key=lambda fit: abs(fit.residual))
    return Plot(
        f"Measured against modelled, {name}",
        f"Of {len(arms)} arms, {arm_name(worst.arm)} is the farthest off: measured "
        f"{worst.residual:+.0%} against the model.",
        lambda: _draw(arms, model),
        Table(
            f"Seconds per probe of {name}, measured and modelled",
            columns("arm", "#GFLOP per probe", "#measured", "#95 % CI", "#modelled",
                    "#residual %"),
            [
                (
                    arm_name(fit.arm),
                    f"{fit.gigaflops:.4g}",
                    seconds_text(fit.measured),
                    interval_text(fit.arm.seconds_per_probe),
                    seconds_text(fit.modelled),
                    f"{100 * fit.residual:+.1f}",
                )
                for fit in arms
            ],
        ),
        "Arms by their work: marks with 95 % intervals are measured, dashes modelled. Below, how "
        "far the measured lie above the modelled; the band is 20 % to either side.",
    )  # fmt: skip


def _draw(arms: Sequence[Fitted], model: CostModel) -> Figure:
    drawn = figure(height=4.2)
    seconds, residuals = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    work = [fit.gigaflops for fit in arms]
    if model.s_per_flop:
        ends = np.array([min(work) / 1.5, max(work) * 1.5])
        alone = model.s_per_flop * 1e9 * ends
        seconds.plot(ends, alone, "--", color=SOFT, lw=1, label="FLOPs alone")
    residuals.axhspan(-20, 20, color=LINE, alpha=0.6, lw=0)
    residuals.axhline(0, color=SOFT, lw=1)
    for number, kind, own in by_kind(arms):
        intervals = [fit.arm.seconds_per_probe for fit in own]
        look = {
            "color": SERIES[number % len(SERIES)],
            "marker": MARKERS[(number + number // len(SERIES)) % len(MARKERS)],
            "linestyle": "none",
        }
        seconds.errorbar(
            [fit.gigaflops for fit in own],
            [fit.measured for fit in own],
            yerr=[
                [interval.value - interval.low for interval in intervals],
                [interval.high - interval.value for interval in intervals],
            ],
            capsize=2,
            label=kind,
            **look,
        )
        residuals.plot([fit.gigaflops for fit in own], [100 * fit.residual for fit in own], **look)
    dash = {"color": INK, "markersize": 12, "markeredgewidth": 1.4}
    modelled = [fit.modelled for fit in arms]
    seconds.plot(work, modelled, "_", label="modelled", **dash)
    logarithmic(seconds, "y")
    logarithmic(residuals, "x")
    seconds.set_ylabel("seconds per probe")
    residuals.set_ylabel("residual, %")
    residuals.set_xlabel("GFLOP per probe")
    for axes in (seconds, residuals):
        axes.grid()
    drawn.legend(loc="outside upper right", ncols=4)
    return drawn
