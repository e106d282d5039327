"""What arms attain of what the cost model says the device could.

After Williams, Waterman and Patterson, Roofline: An Insightful Visual Performance Model for
Multicore Architectures (Communications of the ACM, 2009). There the ceilings are a machine's peaks;
here they are the two coefficients of the fit, and since the model adds its terms, arms lie below
both even where all terms are right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from device_bench.costs.cost_model import CostModel
from toolkit.report.content import Plot, Table, columns
from toolkit.report.device.fitted import MARKERS, Fitted, by_kind
from toolkit.report.drawing import INK, SERIES, SOFT, figure, logarithmic
from toolkit.report.wording import arm_name


def roofline_plot(arms: Sequence[Fitted], model: CostModel, name: str) -> Plot | None:
    """None where it is not known how many bytes of weights the arms read."""
    arms = [fit for fit in arms if fit.work.weight_bytes > 0]
    if not arms:
        return None
    best = max(arms, key=_attained)
    return Plot(
        f"Roofline of {name}",
        f"{arm_name(best.arm)} attains the most: {_attained(best):.3g} GFLOP/s."
        + "".join(f" {text}" for text in _ceilings(model)),
        lambda: _draw(arms, model),
        Table(
            f"Products per second of {name} (measured seconds, counted work)",
            columns("arm", "#FLOPs per weight byte", "#GFLOP/s"),
            [
                (arm_name(fit.arm), f"{_intensity(fit):.4g}", f"{_attained(fit):.4g}")
                for fit in arms
            ],
        ),
        "Arms by how often a weight is used once it was read. Lines are fitted: what products "
        "alone, or weights alone, would allow; a term that the arms do not tell apart has none.",
    )


def _intensity(fit: Fitted) -> float:
    return 1e9 * fit.gigaflops / fit.work.weight_bytes


def _attained(fit: Fitted) -> float:
    """GFLOP/s."""
    return fit.gigaflops / fit.measured


def _ceilings(model: CostModel) -> list[str]:
    """In words."""
    known = []
    if _tells(model, "s_per_flop"):
        known.append(f"Products alone: {1e-9 / model.s_per_flop:.3g} GFLOP/s (fitted).")
    if _tells(model, "s_per_weight_byte"):
        known.append(f"Weights alone: {1e-9 / model.s_per_weight_byte:.3g} GB/s (fitted).")
    return known


def _tells(model: CostModel, coefficient: str) -> bool:
    """Whether it is a ceiling: not 0, and told apart from the others."""
    return bool(getattr(model, coefficient)) and coefficient not in model.undetermined


def _draw(arms: Sequence[Fitted], model: CostModel) -> Figure:
    drawn = figure(height=3.2)
    axes = drawn.subplots()
    for number, kind, own in by_kind(arms):
        axes.plot(
            [_intensity(fit) for fit in own],
            [_attained(fit) for fit in own],
            color=SERIES[number % len(SERIES)],
            marker=MARKERS[(number + number // len(SERIES)) % len(MARKERS)],
            linestyle="none",
            label=kind,
        )
    ends = np.array([min(map(_intensity, arms)) / 1.5, max(map(_intensity, arms)) * 1.5])
    if _tells(model, "s_per_flop"):
        axes.plot(ends, [1e-9 / model.s_per_flop] * 2, "--", color=SOFT, lw=1, label="products")
    if _tells(model, "s_per_weight_byte"):
        # Only where it is a bound beside the arms, and not far above them.
        limit = 1e-9 / model.s_per_weight_byte * ends
        axes.plot(ends, limit, ":", color=INK, lw=1, label="weights")
    highest = max(map(_attained, arms))
    axes.set_ylim(min(map(_attained, arms)) / 2, 4 * max(highest, _products(model, highest)))
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set_xlabel("FLOPs per weight byte")
    axes.set_ylabel("GFLOP/s")
    axes.grid()
    axes.legend(ncols=2, loc="lower right")
    return drawn


def _products(model: CostModel, otherwise: float) -> float:
    return 1e-9 / model.s_per_flop if _tells(model, "s_per_flop") else otherwise
