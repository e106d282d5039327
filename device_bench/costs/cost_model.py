"""The cost model of a backend, and how it is fitted to the median timings of its arms.

Differences and tangents have a model each. Measured over 44 settings that were in no fit, by CPU
time on a busy machine: on ggml the median error was 4.7 % of differences and 2.7 % of tangents for
stories260K, 2.4 and 5.6 % for a model of 19M parameters; on XNNPACK 2.7 and 2.3 % for stories260K.
One model for both missed the same settings by 9.6, 3.2 and 3.1 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
from pydantic import NonNegativeFloat

from device_bench.costs.least_squares import coefficients, held_out_errors, undetermined
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape, Work
from exporters.contract import Part

TERMS = (
    "fixed_s",
    "s_per_weight_byte",
    "s_per_flop",
    "s_per_attention_flop",
    "s_per_moved_parameter",
)
# Arms that all move the same layers go through the same weights in every pass. What a pass costs
# and what its weights cost are then one number, which is all that such settings need.
_ONE_TERM = frozenset({"fixed_s", "s_per_weight_byte"})


class CostModel(Part):
    """Seconds of measuring the slopes of D directions together.

    seconds = fixed_s · passes + s_per_weight_byte · weight bytes + s_per_flop · FLOPs
    + s_per_attention_flop · attention FLOPs + s_per_moved_parameter · moved parameters

    with the counts of `Work`. Their coefficients are of one backend in one placement of threads:
    1 / s_per_flop is what it attains in products, 1 / s_per_weight_byte what it reads of weights.
    """

    fixed_s: NonNegativeFloat
    s_per_weight_byte: NonNegativeFloat
    s_per_flop: NonNegativeFloat
    s_per_attention_flop: NonNegativeFloat
    s_per_moved_parameter: NonNegativeFloat
    # Leave-one-arm-out, of seconds per probe; None when a single arm was measured.
    median_relative_error: NonNegativeFloat | None
    # Terms that the measured arms do not tell apart: what is predicted of settings in which they
    # change otherwise than in the arms is a guess.
    undetermined: tuple[str, ...] = ()

    def seconds(self, work: Work) -> float:
        return (
            self.fixed_s * work.passes
            + self.s_per_weight_byte * work.weight_bytes
            + self.s_per_flop * work.flops
            + self.s_per_attention_flop * work.attention_flops
            + self.s_per_moved_parameter * work.moved_parameters
        )


def fit_cost_model(
    shape: ModelShape, settings: Sequence[Setting], seconds_per_probe: Sequence[float]
) -> CostModel:
    """Fits the terms by non-negative least squares on relative errors.

    Every arm counts the same however long it takes. With fewer independent arms than terms many
    solutions fit equally; the one of least norm is taken, which shares the cost evenly among the
    terms that the arms do not tell apart (`undetermined`).

    Args:
        settings: distinct ones that `shape` knows, at least one, measured with the same threads;
            either tangents alone or none, since one model does not hold for both.
        seconds_per_probe: the median of each, positive.
    """
    works = [shape.work(setting) for setting in settings]
    counts = np.array([astuple(each) for each in works if each is not None])
    counts /= np.array([setting.directions_per_pass for setting in settings])[:, None]
    seconds = np.asarray(seconds_per_probe, dtype=np.float64)
    errors = held_out_errors(counts, seconds) if len(seconds) > 1 else None
    vague = [term for term, lost in zip(TERMS, undetermined(counts, seconds), strict=True) if lost]
    return CostModel(
        **dict(zip(TERMS, coefficients(counts, seconds).tolist(), strict=True)),
        median_relative_error=None if errors is None else float(np.median(errors)),
        undetermined=tuple(vague),
    )


def determined(model: CostModel) -> bool:
    """Whether the arms tell the terms apart, as far as settings with all layers need it."""
    return set(model.undetermined) <= _ONE_TERM
