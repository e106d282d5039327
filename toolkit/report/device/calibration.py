"""The error of differences over their step ε: rounding to the left, curvature to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from device_bench.numerics.contract import EstimatorSlopes, NumericEvidence, StepLosses
from toolkit.report.content import Plot, Table, columns
from toolkit.report.drawing import FIRST, INK, SECOND, SOFT, figure, logarithmic


@dataclass(frozen=True)
class _Truth:
    """The slopes that a difference is compared with, along the calibration's directions."""

    slopes: NDArray[np.float64]
    words: str

    def error(self, slopes: NDArray[np.float64]) -> float:
        """‖slopes − truth‖₂ / ‖truth‖₂."""
        return float(np.linalg.norm(slopes - self.slopes) / np.linalg.norm(self.slopes))


@dataclass(frozen=True)
class _Curve:
    """The errors of one estimator at the steps looked at, and at the one that was chosen."""

    estimator: str
    errors: Sequence[tuple[float, float]]  # (ε, error), finest first
    chosen: tuple[float, float]


def calibration_plots(evidence: NumericEvidence) -> list[Plot]:
    """One plot of all differences; none where no steps were looked at."""
    if not evidence.steps:
        return []
    directions = len(evidence.steps[0].plus)
    truth = _truth(evidence, directions)
    if truth is None:
        return []
    curves = [
        _curve(evidence, each, truth, directions)
        for each in evidence.measured
        if each.epsilon is not None
    ]
    return [_plot(curves, truth.words, directions)] if curves else []


def _truth(evidence: NumericEvidence, directions: int) -> _Truth | None:
    """The exact slopes, else the backend's tangents; None: neither is known."""
    if evidence.exact is not None:
        return _Truth(np.array(evidence.exact[:directions]), "the exact slopes")
    for each in evidence.measured:
        if each.estimator == "tangent":
            return _Truth(_slopes(each, directions), "the backend's own tangents")
    return None


def _slopes(measured: EstimatorSlopes, directions: int) -> NDArray[np.float64]:
    """Mean of all processes."""
    mean: NDArray[np.float64] = np.mean(measured.slopes, axis=0)
    return mean[:directions]


def _curve(
    evidence: NumericEvidence, measured: EstimatorSlopes, truth: _Truth, directions: int
) -> _Curve:
    assert measured.epsilon is not None
    base = float(np.mean([loss for process in evidence.losses for loss in process]))
    return _Curve(
        measured.estimator,
        [
            (step.epsilon, truth.error(_differences(step, measured.estimator, base)))
            for step in evidence.steps
        ],
        (measured.epsilon, truth.error(_slopes(measured, directions))),
    )


def _differences(step: StepLosses, estimator: str, base: float) -> NDArray[np.float64]:
    plus, minus = np.array(step.plus), np.array(step.minus)
    if estimator == "forward":
        return (plus - base) / step.epsilon
    return (plus - minus) / (2 * step.epsilon)


def _plot(curves: Sequence[_Curve], truth: str, directions: int) -> Plot:
    shows = "; ".join(
        f"{curve.estimator} differences are calibrated to ε {curve.chosen[0]:.2g}, where they are "
        f"off by {curve.chosen[1]:.2g}, against {curve.errors[0][1]:.3g} at the finest step"
        for curve in curves
    )
    return Plot(
        "Error of differences over ε",
        f"{shows[0].upper()}{shows[1:]}.",
        lambda: _draw(curves),
        Table(
            f"Relative error of slopes over {directions} directions (measured)",
            columns("estimator", "#ε", "#relative error", "step"),
            [
                row
                for curve in curves
                for row in sorted(
                    [
                        *((curve.estimator, f"{at:.3g}", f"{error:.3g}", "looked at")
                          for at, error in curve.errors),
                        (curve.estimator, *(f"{each:.3g}" for each in curve.chosen), "chosen"),
                    ],
                    key=lambda row: float(row[1]),
                )
            ],
        ),
        f"Against {truth}, over {directions} directions. Rounding of losses spoils fine steps, "
        "curvature coarse ones; rings are the steps that the calibration chose. Above 1 a slope is "
        "more error than signal.",
    )  # fmt: skip


def _draw(curves: Sequence[_Curve]) -> Figure:
    drawn = figure(height=3.0)
    axes = drawn.subplots()
    axes.axhline(1, color=SOFT, lw=1, ls="--")
    looks = ((FIRST, "o", "-"), (SECOND, "s", "--"))
    for curve, (colour, marker, line) in zip(curves, looks, strict=False):
        # The chosen step is a point of the curve too.
        points = sorted([*curve.errors, curve.chosen])
        axes.plot(*zip(*points, strict=True), line, color=colour, lw=1.2)
        axes.plot(
            *zip(*curve.errors, strict=True), marker, color=colour, label=f"{curve.estimator}"
        )
        axes.plot(
            *curve.chosen, "o", mfc="none", mec=INK, mew=1.6, markersize=12,
            label="chosen" if curve is curves[-1] else None,
        )  # fmt: skip
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set_xlabel("step ε")
    axes.set_ylabel("relative error of slopes")
    axes.grid()
    axes.legend(loc="best")
    return drawn
