"""Forward gradients: the gradient as an average of slope-weighted random directions.

With E[v vᵀ] = I, ĝ = (1/N) Σ slope_i · v_i is an unbiased estimate of the gradient (Baydin et
al., 2022). Clients may move different parts of the vector (Spry, NeurIPS 2024, splits the layers
over them); every tensor is then averaged over the probes that moved it. All arithmetic is
elementwise float32 in the order of the probes; a Rademacher direction only flips signs, so every
machine computes the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from exporters.lora.combination import Combination, DirectionName
from exporters.lora.directions import Distribution
from exporters.lora.support import ParameterLayout, Support
from toolkit.gradient.coverage import Coverage

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """One client's answer to one order.

    `slopes` float32 [directions]; `weight`, above 0, is what each of its probes counts in the
    average; `staleness` is how many versions of the values lie between those that it measured at
    and the server's.
    """

    client: str
    directions: tuple[DirectionName, ...]
    distribution: Distribution
    support: Support
    slopes: Values
    weight: float = 1.0
    staleness: int = 0


def forward_gradient(measured: Sequence[Measured], layout: ParameterLayout) -> Values:
    """ĝ, float32 [parameters]; holds one direction at a time.

    Per tensor Σ weight · slope · v / Σ weight over the probes whose support contains it, and 0
    where there is none.
    """
    total = np.zeros(layout.parameters, dtype=np.float32)
    for combination in combinations(measured, layout, 1.0):
        combination.add_to(total, layout)
    return total


def combinations(
    measured: Sequence[Measured], layout: ParameterLayout, factor: float
) -> tuple[Combination, ...]:
    """factor · ĝ as weighted directions, one combination per distribution and support.

    A coefficient is factor · weight · slope / Σ weight, computed in float64 and rounded to
    float32. A support whose tensors are covered by different weights is split into ranges of
    layers; the usual case is one pair per probe.
    """
    coverage = Coverage.of(measured, layout)
    blocks = {support: _blocks(support, coverage) for support in coverage.weights}
    pairs: dict[tuple[Distribution, Support], list[tuple[DirectionName, float]]] = {}
    for one in measured:
        for support, share in blocks.get(one.support, ()):
            scaled = one.slopes.astype(np.float64) * (factor * one.weight * share)
            pairs.setdefault((one.distribution, support), []).extend(
                zip(one.directions, scaled.astype(np.float32).tolist(), strict=True)
            )
    return tuple(
        Combination(distribution=distribution, support=support, pairs=tuple(own))
        for (distribution, support), own in pairs.items()
    )


def _blocks(support: Support, coverage: Coverage) -> list[tuple[Support, float]]:
    """Parts of a support, each with the reciprocal of the weight that its tensors share.

    Added up over the parts that contain it, every tensor gets its own reciprocal.
    """
    tensors = [tensor for tensor in coverage.layout.tensors if support.contains(tensor)]
    weights = [coverage.weight(tensor) for tensor in tensors]
    if len(set(weights)) <= 1:
        return [(support, 1 / weights[0])] if weights else []
    shares: dict[int, dict[str, float]] = {}
    for tensor, weight in zip(tensors, weights, strict=True):
        if tensor.matrix != "head":
            shares.setdefault(tensor.layer, {})[tensor.matrix] = 1 / weight
    parts: list[tuple[Support, float]] = []
    for share, same in groupby(sorted(shares), key=shares.__getitem__):
        run = list(same)
        part = Support(layers=(run[0], run[-1]), matrices=support.matrices, head=False)
        first = share.get("A", share.get("B", 0.0))
        parts.append((part, first))
        # B is covered by more probes than A where some clients move B alone.
        if share.get("B", first) != first:
            parts.append((part.model_copy(update={"matrices": "B"}), share["B"] - first))
    heads = [1 / w for t, w in zip(tensors, weights, strict=True) if t.matrix == "head"]
    if heads:
        # No layer of its own: a range behind the last layer leaves the head alone.
        beyond = max(shares, default=-1) + 1
        beyond = max([beyond, *(t.layer + 1 for t in coverage.layout.tensors)])
        parts.append((Support(layers=(beyond, beyond), head=True), heads[0]))
    return parts
