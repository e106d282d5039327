"""FwdLLM's own gate: the variance of one tensor's forward gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from exporters.contract import Part
from exporters.lora.directions import add_direction
from exporters.lora.support import ParameterLayout
from toolkit.gradient.forward_gradient import Measured, Values
from toolkit.pacing.evidence import Decision, Evidence


class FwdllmGate(Part):
    """Commits when the two-sample variance of one tensor's gradient is at most `tau`.

    As in the code of FwdLLM (Xu et al., USENIX ATC 2024): the probes' own gradients slope · v of
    one tensor are divided, oldest first, into the first ⌊n/2⌋ and the others; with a and b the
    two means, the variance is the mean over elements of (a − b)²/2. Else the round asks for as
    many probes more as clients have answered, on the same batches. The variance's expectation is
    2‖g‖²/n with g the gradient over all that moves, so the rule is n ≥ 2‖g‖²/tau: a number of
    probes that follows the squared norm of the gradient. The authors set tau to 0.1 (DistilBERT,
    ALBERT) and 0.2 (BERT, RoBERTa-large), and have no cap.

    Args:
        tensor: the tensor's position in the layout; None: the first A of the first adapted layer
            that a probe moves, or the first moved tensor where no A moves.
        most_increments: a round is committed with this many increments at the latest.
        most_probes: ... or with this many probes.
    """

    wants_along: ClassVar[bool] = False

    kind: Literal["fwdllm_gate"] = "fwdllm_gate"
    tau: PositiveFloat = 0.1
    tensor: NonNegativeInt | None = None
    most_increments: PositiveInt = 50
    most_probes: PositiveInt = 100_000

    def decide(self, evidence: Evidence) -> Decision:
        """The statistic is the variance; infinite with fewer than two probes of the tensor."""
        position = self._position(evidence)
        variance = two_sample_variance(evidence.measured, evidence.layout, position)
        if variance <= self.tau:
            reason = f"the variance {variance:.4g} is at most {self.tau:g}"
            return Decision(True, 0, variance, reason)
        room = self.most_probes - evidence.probes_so_far
        if evidence.increment + 1 >= self.most_increments or room <= 0:
            reason = f"the round is as large as it may be, with a variance of {variance:.4g}"
            return Decision(True, 0, variance, reason)
        more = min(max(1, evidence.clients), room)
        return Decision(False, more, variance, f"the variance {variance:.4g} exceeds {self.tau:g}")

    def _position(self, evidence: Evidence) -> int:
        if self.tensor is not None:
            return self.tensor
        supports = {one.support for one in evidence.measured}
        moved = [
            (position, tensor)
            for position, tensor in enumerate(evidence.layout.tensors)
            if any(support.contains(tensor) for support in supports)
        ]
        first_a = [position for position, tensor in moved if tensor.matrix == "A"]
        return first_a[0] if first_a else moved[0][0] if moved else 0


def two_sample_variance(
    measured: Sequence[Measured], layout: ParameterLayout, position: int
) -> float:
    """Mean of (a − b)²/2 over the elements of one tensor; infinite with fewer than two probes."""
    tensor = layout.tensors[position]
    probes = [
        (one, name if isinstance(name, int) else name[position], float(slope))
        for one in measured
        if one.support.contains(tensor)
        for name, slope in zip(one.directions, one.slopes, strict=True)
    ]
    half = len(probes) // 2
    if half == 0:
        return math.inf
    first, second = _mean(probes[:half], tensor.slice), _mean(probes[half:], tensor.slice)
    difference = first.astype(np.float64) - second
    return math.fsum(np.square(difference).tolist()) / len(difference) / 2


def _mean(probes: Sequence[tuple[Measured, int, float]], place: slice) -> Values:
    mean = np.zeros(place.stop - place.start, dtype=np.float32)
    for one, seed, slope in probes:
        add_direction(
            mean, seed, slope / len(probes), start=place.start, distribution=one.distribution
        )
    return mean
