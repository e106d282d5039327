"""LoRA matrices cut out of the flat vectors that a program takes as inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from exporters.lora.layout import LoraLayout


@dataclass(frozen=True)
class Adapter:
    """LoRA on one linear layer: y += scale · (x Aᵀ) Bᵀ, for each of several copies.

    Args:
        a: float32 [copies, rank, inputs].
        b: float32 [copies, outputs, rank].
    """

    a: torch.Tensor
    b: torch.Tensor
    scale: float


Adapters = dict[tuple[int, str], Adapter]  # by (layer, module)


def adapters_of(flat: torch.Tensor, layout: LoraLayout) -> Adapters:
    """The adapters in flat vectors, float32 [copies, parameters]."""
    copies = flat.shape[0]
    matrices = {
        (tensor.layer, tensor.module, tensor.matrix): flat[:, tensor.slice].view(
            copies, *tensor.shape
        )
        for tensor in layout.tensors
    }
    scale = layout.alpha / layout.rank
    return {
        (layer, module): Adapter(a, matrices[layer, module, "B"], scale)
        for (layer, module, matrix), a in matrices.items()
        if matrix == "A"
    }
