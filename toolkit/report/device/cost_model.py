"""What the cost model says of the arms that it was fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from device_bench.profile import ArmSummary, BackendProfile, CostModel
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import (
    INK,
    LINE,
    SERIES,
    SOFT,
    figure,
    logarithmic,
)
from toolkit.report.wording import arm_name, interval_text, seconds_text

_MARKERS = "osDv"  # as many as colours, so that no pair of both comes twice in 16 kinds


@dataclass(frozen=True)
class _Fitted:
    """An arm beside what the model says of it; `work` in tokens · copies per probe."""

    arm: ArmSummary
    modelled: float

    @property
    def measured(self) -> float:
        return self.arm.seconds_per_probe.value

    @property
    def passes(self) -> int:
        return 2 if self.arm.estimator == "central" else 1

    @property
    def work(self) -> float:
        at_once = self.arm.directions_per_pass
        copies = at_once + 1 if self.arm.estimator == "tangent" else at_once
        return self.passes * self.arm.batch * self.arm.tokens * copies / at_once

    @property
    def residual(self) -> float:
        return self.measured / self.modelled - 1


def cost_part(backend: BackendProfile, anchor: str) -> Section | None:
    """The models of a backend against its arms; None where no model was fitted."""
    plots, facts = [], []
    for name, model, tangents in (
        ("differences", backend.cost, False),
        ("tangents", backend.tangent_cost, True),
    ):
        if model is None:
            continue
        fact = f"cost of {name}, fitted to arms that were {backend.cost_provenance}"
        facts.append((fact, _formula(model)))
        if model.median_relative_error is not None:
            facts.append(
                (f"error of {name}, an arm left out", f"{model.median_relative_error:.1%} (median)")
            )
        arms = [
            _Fitted(arm, seconds)
            for arm in backend.arms
            if (arm.estimator == "tangent") == tangents
            and (seconds := backend.modelled_seconds(arm))
        ]
        if arms:
            plots.append(_plot(arms, model, name))
    if not facts:
        return None
    return Section("Cost model", f"{anchor}_cost", facts, plots=plots)


def _formula(model: CostModel) -> str:
    return (
        f"{model.fixed_s:.3g} s a pass + {model.per_token_s:.3g} s a token + "
        f"{model.per_attention_pair_s:.3g} s an attention pair + "
        f"{model.per_direction_s:.3g} s a copy"
    )


def _plot(arms: Sequence[_Fitted], model: CostModel, name: str) -> Plot:
    worst = max(arms, key=lambda fit: abs(fit.residual))
    return Plot(
        f"Measured against modelled, {name}",
        f"Of {len(arms)} arms, {arm_name(worst.arm)} is the farthest off: measured "
        f"{worst.residual:+.0%} against the model.",
        lambda: _draw(arms, model),
        Table(
            f"Seconds per probe of {name}, measured and modelled",
            columns("arm", "#tokens · copies per probe", "#measured", "#95 % CI", "#modelled",
                    "#residual %"),
            [
                (
                    arm_name(fit.arm),
                    f"{fit.work:.6g}",
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


def _draw(arms: Sequence[_Fitted], model: CostModel) -> Figure:
    drawn = figure(height=4.2)
    seconds, residuals = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_limits(seconds, arms, model)
    residuals.axhspan(-20, 20, color=LINE, alpha=0.6, lw=0)
    residuals.axhline(0, color=SOFT, lw=1)
    kinds = dict.fromkeys((fit.arm.estimator, fit.arm.directions_per_pass) for fit in arms)
    for number, kind in enumerate(kinds):
        own = [fit for fit in arms if (fit.arm.estimator, fit.arm.directions_per_pass) == kind]
        intervals = [fit.arm.seconds_per_probe for fit in own]
        look = {
            "color": SERIES[number % len(SERIES)],
            "marker": _MARKERS[(number + number // len(SERIES)) % len(_MARKERS)],
            "linestyle": "none",
        }
        seconds.errorbar(
            [fit.work for fit in own],
            [fit.measured for fit in own],
            yerr=[
                [interval.value - interval.low for interval in intervals],
                [interval.high - interval.value for interval in intervals],
            ],
            capsize=2,
            label=f"{kind[0]} K{kind[1]}",
            **look,
        )
        residuals.plot([fit.work for fit in own], [100 * fit.residual for fit in own], **look)
    dash = {"color": INK, "markersize": 12, "markeredgewidth": 1.4}
    modelled = [fit.modelled for fit in arms]
    seconds.plot([fit.work for fit in arms], modelled, "_", label="modelled", **dash)
    logarithmic(seconds, "y")
    logarithmic(residuals, "x")
    seconds.set_ylabel("seconds per probe")
    residuals.set_ylabel("residual, %")
    residuals.set_xlabel("tokens · copies computed per probe")
    for axes in (seconds, residuals):
        axes.grid()
    seconds.legend(ncols=2, loc="upper left")
    return drawn


def _draw_limits(axes: Axes, arms: Sequence[_Fitted], model: CostModel) -> None:
    """What the tokens alone would cost, as the slope of a roofline, and the fixed part alone."""
    work = [fit.work for fit in arms]
    ends = np.array([min(work) / 1.5, max(work) * 1.5])
    if model.per_token_s:
        axes.plot(ends, model.per_token_s * ends, "--", color=SOFT, lw=1, label="tokens alone")
    lowest = min(min(fit.measured, fit.modelled) for fit in arms)
    floors = {fit.passes * model.fixed_s / fit.arm.directions_per_pass for fit in arms}
    near = sorted(floor for floor in floors if floor > lowest / 20)
    for number, floor in enumerate(near):
        axes.axhline(floor, color=SOFT, lw=1, ls=":", label=None if number else "fixed part alone")
