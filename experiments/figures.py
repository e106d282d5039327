"""The plots of the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.contract import AllocationResult, MemoryResult, RunResult
from experiments.summary import by_method

_SIZE = (7.0, 4.2)
_MEBIBYTE = 1 << 20


def methods(results: Sequence[RunResult], path: Path) -> None:
    """Accuracy over the examples that went through the adapted layers, one line per method."""
    _spread(results, path, scale="log")


def variants(results: Sequence[RunResult], path: Path) -> None:
    """The same over an even axis: variants of one method spend alike."""
    _spread(results, path, scale="linear")


def _spread(results: Sequence[RunResult], path: Path, scale: str) -> None:
    """The mean over seeds with the range between the lowest and the highest, per method."""
    figure, axes = _figure()
    for method, runs in by_method(results).items():
        curves = [_evaluated(one) for one in runs]
        # Pacing rules spend differently from seed to seed: the curves meet on a common axis.
        common = np.unique(np.concatenate([examples for examples, _ in curves]))
        begin = max(examples[0] for examples, _ in curves)
        end = min(examples[-1] for examples, _ in curves)
        common = common[(common >= begin) & (common <= end)]
        lines = np.array([np.interp(common, examples, accuracy) for examples, accuracy in curves])
        (line,) = axes.plot(common, lines.mean(0), label=method, linewidth=1.5)
        axes.fill_between(common, lines.min(0), lines.max(0), color=line.get_color(), alpha=0.15)
    axes.set_xscale(scale)
    _finish(figure, axes, "example passes", "test accuracy", path)


def allocation(result: AllocationResult, path: Path) -> None:
    """Median seconds per policy, a dot for each fleet."""
    figure, axes = _figure()
    policies = list(dict.fromkeys(row.policy for row in result.rows))
    for row in result.rows:
        if row.median_s is not None:
            axes.plot(row.median_s, policies.index(row.policy), "o", color="C0", alpha=0.7)
    axes.set_yticks(range(len(policies)), policies)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    _finish(figure, axes, "seconds of a round (modelled)", "", path)


def memory(result: MemoryResult, path: Path) -> None:
    """The step's own part of the peak, per method."""
    figure, axes = _figure()
    methods = list(result.rows)
    axes.barh(methods, [(peak - loaded) / _MEBIBYTE for loaded, peak in result.rows.values()])
    axes.invert_yaxis()
    _finish(figure, axes, "MiB beyond the loaded model (measured)", "", path)


def _evaluated(result: RunResult) -> tuple[list[int], list[float]]:
    """Examples spent and accuracy, at each evaluation after the start."""
    spent = list(accumulate(one.examples for one in result.rounds))
    points = [
        (examples, one.accuracy)
        for examples, one in zip(spent, result.rounds, strict=True)
        if one.accuracy is not None and one.round > 0
    ]
    return [examples for examples, _ in points], [accuracy for _, accuracy in points]


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, figure.add_subplot()


def _finish(figure: Figure, axes: Axes, x_label: str, y_label: str, path: Path) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    # Without the version and date that matplotlib writes, equal results give equal files.
    figure.savefig(path, dpi=120, metadata={"Software": None})
