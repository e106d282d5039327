"""Forward gradients: the gradient as an average of slope-weighted random directions.

With E[v vᵀ] = I, ĝ = (1/N) Σ slope_i · v_i is an unbiased estimate of the gradient (Baydin et
al., 2022). All arithmetic is elementwise float32 in the order of the probes; a Rademacher
direction only flips signs, so every machine computes the same bits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from exporters.lora.directions import direction

Values = NDArray[np.float32]


def forward_gradient(seeds: Sequence[int], slopes: Values, parameters: int) -> Values:
    """ĝ, float32 [parameters], from one slope per seed; holds one direction at a time."""
    total = np.zeros(parameters, dtype=np.float32)
    for seed, slope in zip(seeds, slopes, strict=True):
        total += np.float32(slope) * direction(seed, parameters)
    return total * np.float32(1 / len(seeds))


def apply_update(values: Values, pairs: Iterable[tuple[int, float]]) -> Values:
    """θ + coefficient · direction for each (seed, coefficient) pair in order, in float32."""
    updated = values.copy()
    for seed, coefficient in pairs:
        updated += np.float32(coefficient) * direction(seed, len(values))
    return updated


def exact_norm(values: Values) -> float:
    """The Euclidean norm.

    Squares of float32 are exact in float64 and `fsum` rounds once, so the result does not depend
    on the processor or on how numpy orders a sum.
    """
    return math.sqrt(math.fsum(np.square(values.astype(np.float64)).tolist()))


def values_sha256(values: Values) -> str:
    """The SHA-256 of the flat vector as little-endian float32, as the runner reports it."""
    return hashlib.sha256(values.astype("<f4", copy=False).tobytes()).hexdigest()
