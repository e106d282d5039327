"""Rotary position embeddings (Su et al., RoFormer, 2021) in Hugging Face's order of pairs."""

from __future__ import annotations

import torch
from torch import nn


class Rotary(nn.Module):
    """Rotates every head by the angles of its position, and multiplies it by `scale`.

    Args:
        frequencies: float32 [size / 2], radians per position.
        length: of every sequence.
    """

    def __init__(self, frequencies: torch.Tensor, length: int, scale: float) -> None:
        super().__init__()
        angles = torch.arange(length, dtype=torch.float32)[:, None] * frequencies.float()
        cosines, sines = scale * angles.cos(), scale * angles.sin()
        self.cosines: torch.Tensor
        self.sines: torch.Tensor
        # [length, 1, size]; a head's first half turns against its second.
        self.register_buffer("cosines", torch.cat([cosines, cosines], dim=-1)[:, None])
        self.register_buffer("sines", torch.cat([-sines, sines], dim=-1)[:, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[copies, rows, heads · size]; linear in x."""
        length, _, size = self.cosines.shape
        half = size // 2
        by_head = x.view(-1, length, x.shape[-1] // size, size)
        swapped = torch.cat([by_head[..., half:], by_head[..., :half]], dim=-1)
        return (by_head * self.cosines + swapped * self.sines).view(x.shape)
