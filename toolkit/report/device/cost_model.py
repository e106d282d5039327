"""What the cost model says of the arms that it was fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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

_MARKERS = "osDv"


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
        facts.append(
            (f"cost of {name} (fitted to arms: {backend.cost_provenance})", _formula(model))
        )
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
    kinds = list(dict.fromkeys((fit.arm.estimator, fit.arm.directions_per_pass) for fit in arms))
    worst = max(arms, key=lambda fit: abs(fit.residual))

    def draw() -> Figure:
        drawn = figure(height=4.2)
        top, bottom = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        work = np.geomspace(
            min(fit.work for fit in arms) / 1.5, max(fit.work for fit in arms) * 1.5
        )
        if model.per_token_s:
            top.plot(
                work, model.per_token_s * work, "--", color=SOFT, lw=1, label="tokens alone"
            )  # the slope of a roofline
        floors = {fit.passes * model.fixed_s / fit.arm.directions_per_pass for fit in arms} - {0.0}
        lowest = min(min(fit.measured, fit.modelled) for fit in arms)
        for floor in sorted(seconds for seconds in floors if seconds > lowest / 20):
            first = "fixed part alone" if floor == max(floors) else None
            top.axhline(floor, color=SOFT, lw=1, ls=":", label=first)
        bottom.axhspan(-20, 20, color=LINE, alpha=0.6, lw=0)
        bottom.axhline(0, color=SOFT, lw=1)
        for number, (estimator, at_once) in enumerate(kinds):
            own = [
                fit
                for fit in arms
                if (fit.arm.estimator, fit.arm.directions_per_pass) == (estimator, at_once)
            ]
            look = {
                "color": SERIES[number % len(SERIES)],
                "marker": _MARKERS[number // len(SERIES) % len(_MARKERS)],
                "linestyle": "none",
                "markersize": 5,
            }
            seconds = [fit.arm.seconds_per_probe for fit in own]
            low = [each.value - each.low for each in seconds]
            high = [each.high - each.value for each in seconds]
            top.errorbar(
                [fit.work for fit in own],
                [each.value for each in seconds],
                yerr=[low, high],
                capsize=2,
                label=f"{estimator} K{at_once}",
                **look,
            )
            bottom.plot([fit.work for fit in own], [100 * fit.residual for fit in own], **look)
        top.plot(
            [fit.work for fit in arms],
            [fit.modelled for fit in arms],
            "_",
            color=INK,
            markersize=12,
            markeredgewidth=1.4,
            label="modelled",
        )
        logarithmic(top, "y")
        logarithmic(bottom, "x")
        top.set_ylabel("seconds per probe")
        bottom.set_ylabel("residual, %")
        bottom.set_xlabel("tokens · copies computed per probe")
        for axes in (top, bottom):
            axes.grid()
        top.legend(ncols=2, loc="upper left")
        return drawn

    return Plot(
        f"Measured against modelled, {name}",
        f"Of {len(arms)} arms, {arm_name(worst.arm)} is the farthest off: measured "
        f"{worst.residual:+.0%} against the model.",
        draw,
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
