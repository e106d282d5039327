"""The memory model of a backend, and how it is fitted to the peaks of its arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from device_bench.costs.least_squares import coefficients, held_out_errors
from device_bench.costs.setting import Setting
from device_bench.costs.work import Held, ModelShape
from exporters.contract import Part

_TERMS = ("base_bytes", "bytes_per_column", "bytes_per_pair", "bytes_per_parameter")


class MemoryModel(Part):
    """Peak bytes of a process that measures slopes (VmHWM).

    bytes = (base_bytes + bytes_per_column · columns + bytes_per_pair · pairs
    + bytes_per_parameter · parameters) · (1 + margin)

    with the counts of `Held`; `base_bytes` are the weights and the runtime. `margin` is how far the
    arm that lies highest above the fit lies above it, so no measured arm is predicted too low.
    """

    base_bytes: NonNegativeFloat
    bytes_per_column: NonNegativeFloat
    bytes_per_pair: NonNegativeFloat
    bytes_per_parameter: NonNegativeFloat
    margin: NonNegativeFloat
    median_relative_error: NonNegativeFloat | None  # leave-one-arm-out, without the margin
    arms: PositiveInt

    def peak_bytes(self, held: Held) -> float:
        fitted = (
            self.base_bytes
            + self.bytes_per_column * held.columns
            + self.bytes_per_pair * held.pairs
            + self.bytes_per_parameter * held.parameters
        )
        return fitted * (1 + self.margin)


def fit_memory_model(
    shape: ModelShape, settings: Sequence[Setting], peak_bytes: Sequence[float]
) -> MemoryModel:
    """Fits the terms by non-negative least squares on relative errors, and the margin above them.

    Args:
        settings: distinct ones that `shape` knows, at least one; of tangents alone or of none.
        peak_bytes: of each, positive.
    """
    held = [shape.held(setting) for setting in settings]
    counts = np.array([[1.0, *astuple(each)] for each in held if each is not None])
    peaks = np.asarray(peak_bytes, dtype=np.float64)
    terms = coefficients(counts, peaks)
    margin = float(np.max(peaks / (counts @ terms) - 1, initial=0.0))
    errors = held_out_errors(counts, peaks) if len(peaks) > 1 else None
    return MemoryModel(
        **dict(zip(_TERMS, terms.tolist(), strict=True)),
        margin=margin,
        median_relative_error=None if errors is None else float(np.median(errors)),
        arms=len(peaks),
    )
