"""The update that clients are asked about before it is made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from exporters.lora.combination import Combination
from exporters.lora.support import ParameterLayout
from toolkit.gradient.forward_gradient import Measured, combinations
from toolkit.protocol.order import Along
from toolkit.protocol.update import RoundUpdate


def proposed_direction(
    update: RoundUpdate, measured: Sequence[Measured], layout: ParameterLayout
) -> Along:
    """The direction Δθ of an update, for clients to measure the slope along.

    A slope below 0 says that the loss falls. Where the update overwrites values (Yogi, robust
    aggregation), no replica can make its direction from seeds: the probes' own descent
    direction −ĝ stands in. The replicas' m is that before the update.
    """
    if update.momentum is not None:
        keep, length = update.momentum
        sign = math.copysign(1.0, length)
        return Along(sign * keep, tuple(_times(sign, one) for one in update.combinations))
    if update.combinations:
        return Along(0.0, update.combinations)
    return Along(0.0, combinations(measured, layout, -1.0))


def _times(sign: float, combination: Combination) -> Combination:
    pairs = tuple((name, sign * coefficient) for name, coefficient in combination.pairs)
    return combination.model_copy(update={"pairs": pairs})
