"""The direction along which a client measures a proposed update or the momentum."""

from __future__ import annotations

import math

import numpy as np

from exporters.lora.support import ParameterLayout
from toolkit.protocol.exact import exact_norm
from toolkit.protocol.order import Along
from toolkit.protocol.update import ReplicaState, Values


def along_direction(along: Along, state: ReplicaState, layout: ParameterLayout) -> Values:
    """u of `Along`, float32 [parameters], scaled to a root mean square of 1 where it is not 0.

    All zeros where u is 0 everywhere.
    """
    if state.memory is None or along.keep == 0:
        vector = np.zeros_like(state.values)
    else:
        vector = np.float32(along.keep) * state.memory
    for combination in along.combinations:
        combination.add_to(vector, layout)
    norm = exact_norm(vector)
    moving = int(np.count_nonzero(vector))
    if norm == 0:
        return vector
    return (vector * np.float32(math.sqrt(moving) / norm)).astype(np.float32)
