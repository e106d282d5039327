"""Numbers of a flat vector that come out the same on every machine."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from toolkit.protocol.update import Values


def exact_norm(values: Values) -> float:
    """The Euclidean norm.

    Squares of float32 are exact in float64 and `fsum` rounds once, so the result does not depend
    on the processor or on how numpy orders a sum.
    """
    return math.sqrt(math.fsum(np.square(values.astype(np.float64)).tolist()))


def exact_dot(left: Values, right: Values) -> float:
    """The inner product; as with `exact_norm`, the same bits everywhere."""
    return math.fsum((left.astype(np.float64) * right).tolist())


def values_sha256(values: Values) -> str:
    """The SHA-256 of the flat vector as little-endian float32, as the runner reports it."""
    return hashlib.sha256(values.astype("<f4", copy=False).tobytes()).hexdigest()
