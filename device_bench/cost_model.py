"""Fitting the cost model of a backend to the median timings of its arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from device_bench.plan import Arm
from device_bench.profile import CostModel

TERMS = ("fixed_s", "per_token_s", "per_attention_pair_s", "per_direction_s")
# Just enough weight on small coefficients to choose one solution among equals.
_RIDGE = 1e-4


@dataclass(frozen=True)
class CostFit:
    """A fitted cost model; `determined` when the arms tell all its terms apart."""

    model: CostModel
    determined: bool


def fit_cost_model(arms: Sequence[Arm], seconds_per_probe: Sequence[float]) -> CostFit:
    """Fits the terms by non-negative least squares on relative errors.

    Every arm counts the same however long it takes. With fewer independent arms than terms many
    solutions fit equally; the one of least norm is taken, which shares the cost evenly among the
    terms that the arms do not tell apart. It holds at the measured settings, and what it says of
    others is a guess, so the fit is not `determined`.

    Args:
        arms: distinct settings that move all adapted layers, at least one; either tangents alone
            or none, since one model does not hold for both.
        seconds_per_probe: the median of each arm, positive.
    """
    design = np.array([_terms_of(arm) for arm in arms])
    seconds = np.asarray(seconds_per_probe, dtype=np.float64)
    # Scaled to columns of unit norm: the terms differ by many orders of magnitude.
    relative = design / seconds[:, None]
    scaled = relative / np.linalg.norm(relative, axis=0)
    return CostFit(
        model=_model(_coefficients(design, seconds), _held_out_error(design, seconds)),
        determined=bool(np.linalg.matrix_rank(scaled) == len(TERMS)),
    )


def _terms_of(arm: Arm) -> list[float]:
    """Seconds per probe of the arm for each term at coefficient 1: the model is linear in them."""
    return [
        _model(unit, None).probe_seconds(
            batch=arm.batch,
            tokens=arm.tokens,
            directions=arm.directions_per_pass,
            estimator=arm.estimator,
        )
        for unit in np.eye(len(TERMS))
    ]


def _coefficients(design: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    relative = design / seconds[:, None]
    scale = np.linalg.norm(relative, axis=0)
    rows = np.vstack([relative / scale, _RIDGE * np.eye(len(TERMS))])
    goal = np.concatenate([np.ones(len(seconds)), np.zeros(len(TERMS))])
    solution, _ = nnls(rows, goal)
    return solution / scale


def _held_out_error(design: NDArray[np.float64], seconds: NDArray[np.float64]) -> float | None:
    """Median relative error at an arm when the others alone are fitted; None for a single arm."""
    if len(seconds) < 2:
        return None
    errors = []
    for held_out in range(len(seconds)):
        others = np.arange(len(seconds)) != held_out
        coefficients = _coefficients(design[others], seconds[others])
        predicted = design[held_out] @ coefficients
        errors.append(abs(predicted - seconds[held_out]) / seconds[held_out])
    return float(np.median(errors))


def _model(coefficients: NDArray[np.float64], error: float | None) -> CostModel:
    terms = dict(zip(TERMS, coefficients.tolist(), strict=True))
    return CostModel(**terms, median_relative_error=error)
