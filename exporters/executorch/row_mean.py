"""Means over rows, and copies of rows, in a form that delegates take."""

from __future__ import annotations

import torch
from torch import nn


class RowMean(nn.Module):
    """The mean of each row, [..., width] -> [..., 1], as a product with a constant vector.

    XNNPACK has no mean over the last dimension alone.

    Args:
        widths: of the rows that it will be asked for.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        for width in widths:
            self.register_buffer(f"of_{width}", torch.full((1, width), 1 / width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.get_buffer(f"of_{x.shape[-1]}"))


class Spread(nn.Module):
    """[..., 1 or copies, m, n] -> [..., copies, m, n], as a sum: XNNPACK does not expand."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.zeros: torch.Tensor
        self.register_buffer("zeros", torch.zeros(copies, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.shape[-3] == len(self.zeros) else x + self.zeros
