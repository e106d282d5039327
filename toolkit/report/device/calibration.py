"""What the calibration of ε saw: rounding at fine steps, curvature at coarse ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from device_bench.numerics.contract import EstimatorSlopes, NumericEvidence, StepLosses
from device_bench.statistics import root_mean_square
from toolkit.report.content import Plot, Table, columns
from toolkit.report.drawing import FIRST, INK, SECOND, SOFT, figure, logarithmic


@dataclass(frozen=True)
class _Curve:
    """One estimator's discrepancies (`numerics/step_search.py`), in nats per unit of direction.

    Attributes:
        points: (ε, discrepancy), finest first.
        chosen: ε, and the error that is expected there.
    """

    estimator: str
    points: Sequence[tuple[float, float]]
    chosen: tuple[float, float]


def calibration_plots(evidence: NumericEvidence) -> list[Plot]:
    """One plot of all differences; none where no steps were looked at."""
    curves = [curve for each in evidence.measured if (curve := _curve(each, evidence)) is not None]
    if not curves:
        return []
    nearest = min(
        evidence.steps, key=lambda step: abs(math.log(step.epsilon / curves[0].chosen[0]))
    )
    return [_plot(curves, root_mean_square(nearest.central_slopes), len(nearest.plus))]


def _curve(measured: EstimatorSlopes, evidence: NumericEvidence) -> _Curve | None:
    """None: the estimator has no step, or too few were looked at."""
    if measured.epsilon is None or measured.step_error is None:
        return None
    if measured.estimator == "central":
        points = _between_steps(evidence.steps)
    else:
        points = _beside_central(evidence.steps, evidence.calibration_loss)
    if not points:
        return None
    return _Curve(measured.estimator, points, (measured.epsilon, measured.step_error))


def _between_steps(steps: Sequence[StepLosses]) -> list[tuple[float, float]]:
    """Of central slopes at ε and at ε/2, where both were looked at."""
    return [
        (coarse.epsilon, root_mean_square(coarse.central_slopes - fine.central_slopes))
        for coarse in steps
        for fine in steps
        if math.isclose(coarse.epsilon, 2 * fine.epsilon)
    ]


def _beside_central(steps: Sequence[StepLosses], base: float | None) -> list[tuple[float, float]]:
    """Of forward and central slopes at ε, where the loss at θ is known."""
    if base is None:
        return []
    return [(step.epsilon, root_mean_square(step.forward_less_central(base))) for step in steps]


def _plot(curves: Sequence[_Curve], signal: float, directions: int) -> Plot:
    shows = "; ".join(
        f"{curve.estimator} differences take ε {curve.chosen[0]:.2g}, where an error of "
        f"{curve.chosen[1]:.2g} is expected of slopes of {signal:.2g}"
        for curve in curves
    )
    return Plot(
        "Calibration of ε",
        f"{shows[0].upper()}{shows[1:]}.",
        lambda: _draw(curves, signal),
        Table(
            f"Discrepancies over {directions} directions (measured), nats per unit of direction",
            columns("estimator", "#ε", "#discrepancy", "step"),
            [
                (curve.estimator, f"{epsilon:.3g}", f"{seen:.3g}", step)
                for curve in curves
                for epsilon, seen, step in sorted(
                    [
                        *((*point, "looked at") for point in curve.points),
                        (*curve.chosen, "chosen; expected error"),
                    ]
                )
            ],
        ),
        "Marks are how far central slopes at ε and ε/2, or forward and central ones at ε, are "
        "apart: rounding spoils fine steps, curvature coarse ones. Rings are the chosen steps with "
        "the errors expected there, the dashed line the slopes themselves.",
    )


def _draw(curves: Sequence[_Curve], signal: float) -> Figure:
    drawn = figure(height=3.0)
    axes = drawn.subplots()
    axes.axhline(signal, color=SOFT, lw=1, ls="--", label="slopes")
    looks = ((FIRST, "o-"), (SECOND, "s--"))
    for curve, (colour, look) in zip(curves, looks, strict=False):
        visible = [point for point in curve.points if point[1] > 0]
        axes.plot(*zip(*visible, strict=True), look, color=colour, lw=1.2, label=curve.estimator)
        axes.plot(
            *curve.chosen, "o", mfc="none", mec=INK, mew=1.6, markersize=12,
            label="chosen" if curve is curves[-1] else None,
        )  # fmt: skip
        axes.plot(*curve.chosen, look[0], color=colour, markersize=4)
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set_xlabel("step ε")
    axes.set_ylabel("nats per unit of direction")
    axes.grid()
    axes.legend(loc="best")
    return drawn
