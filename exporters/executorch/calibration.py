"""Inputs as they occur, for backends that choose the ranges of activations ahead of time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.executorch.decoder import CausalAttention
from exporters.executorch.encoder import Encoder
from exporters.executorch.parity import EPSILON
from exporters.executorch.subject import Comparison
from exporters.lora.directions import direction
from exporters.manifest import Program

_FIRST_SEED = 0
_CLOSED = 32.0  # e⁻³² is nothing beside e⁰


def calibration_of(
    program: Program, comparison: Comparison, values: NDArray[np.float32]
) -> tuple[tuple[torch.Tensor, ...], ...]:
    """Inputs of some runs of a program, in its order: the adapter's values with perturbations.

    Args:
        values: of the adapter, [parameters].
    """
    steps = np.stack([direction(_FIRST_SEED + k, len(values)) for k in range(program.slots)])
    if program.kind == "loss":
        lora = {"lora": torch.from_numpy(values + np.float32(EPSILON) * steps)}
    else:
        lora = {"lora": torch.from_numpy(values), "directions": torch.from_numpy(steps)}
    return tuple(
        tuple((run | lora)[each.name] for each in program.inputs)
        for run in comparison.runs(program)
    )


def narrow_masks(program: nn.Module) -> None:
    """Limits what a program's masks take from scores to what closes a position.

    Ranges of integers are chosen to hold every value: beside −1e9 all scores would round to zero.
    """
    for module in program.modules():
        if isinstance(module, CausalAttention):
            module.mask.clamp_(min=-_CLOSED)
        elif isinstance(module, Encoder):
            module.closed = _CLOSED
