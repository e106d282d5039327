"""Sums of non-negative terms, fitted to what was measured by least squares on relative errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

# Just enough weight on small coefficients to choose one solution among equals.
_RIDGE = 1e-4
# Directions in which the measured settings differ by less than this, beside that in which they
# differ most, tell nothing in the noise of timings.
_SMALLEST = 1e-3


def coefficients(counts: Array, measured: Array) -> Array:
    """float64 [terms], none negative, of counts [settings, terms] and positive values [settings].

    Every setting counts the same however much it measured. With fewer independent settings than
    terms many solutions fit equally; the one of least norm is taken, which shares evenly among the
    terms that the settings do not tell apart.
    """
    relative = counts / measured[:, None]
    # To columns of unit norm: terms differ by many orders of magnitude.
    scale = _norms(relative)
    terms = counts.shape[1]
    rows = np.vstack([relative / scale, _RIDGE * np.eye(terms)])
    goal = np.concatenate([np.ones(len(measured)), np.zeros(terms)])
    solution, _ = nnls(rows, goal)
    return solution / scale


def undetermined(counts: Array, measured: Array) -> NDArray[np.bool_]:
    """Which terms the settings do not tell apart from others, bool [terms].

    A term that no setting has is not among them: nothing is predicted with it.
    """
    relative = counts / measured[:, None]
    _, sizes, directions = np.linalg.svd(relative / _norms(relative))
    known = np.zeros(counts.shape[1], dtype=bool)
    known[: len(sizes)] = sizes > _SMALLEST * sizes[0]
    shares = np.abs(directions[~known]).max(axis=0, initial=0.0)
    return (shares > 0.1) & counts.any(axis=0)


def held_out_errors(counts: Array, measured: Array) -> Array:
    """Relative error of each setting when the others alone are fitted, float64 [settings]."""
    others = ~np.eye(len(measured), dtype=bool)
    predicted = [
        counts[held] @ coefficients(counts[rows], measured[rows])
        for held, rows in enumerate(others)
    ]
    return np.asarray(np.abs(np.array(predicted) / measured - 1))


def _norms(relative: Array) -> Array:
    norms = np.linalg.norm(relative, axis=0)
    return np.where(norms > 0, norms, 1.0)
