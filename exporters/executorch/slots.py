"""Forward arithmetic of K copies of a model that differ in their LoRA alone.

Values are float32 [1 or K, rows, width]: what no LoRA has touched yet is computed once for all
copies. Products with base weights see the copies as further rows of one matrix. Every operation
is written so that XNNPACK takes it: LoRA as `bmm` of three dimensions, means as products with a
constant vector.
"""

from __future__ import annotations

import torch
from torch import nn

from exporters.executorch import activations
from exporters.executorch.arithmetic import Activation
from exporters.executorch.heads import HeadShapes
from exporters.executorch.lora_inputs import Adapter, Adapters
from exporters.executorch.rotary import Rotary
from exporters.executorch.row_mean import RowMean, Spread


class Slots:
    """Implements `Arithmetic` over tensors.

    Args:
        adapters: of K copies.
    """

    def __init__(self, adapters: Adapters, row_mean: RowMean, spread: Spread) -> None:
        self._adapters = adapters
        self._row_mean = row_mean
        self._spread = spread

    def constant(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(1, *x.shape)

    def linear(self, x: torch.Tensor, layer: nn.Linear, place: tuple[int, str]) -> torch.Tensor:
        adapter = self._adapters.get(place)
        y: torch.Tensor = layer(x)
        return y if adapter is None else y + torch.bmm(inner(x, adapter), adapter.b.mT)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        return x * torch.rsqrt(self._row_mean(x * x) + epsilon) * weight

    def rotate(self, x: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        return rotary(x)

    def attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        heads: HeadShapes,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        if max(len(q), len(k), len(v)) > 1:
            q, k, v = (self._spread(each) for each in (q, k, v))
        scores = torch.bmm(heads.queries(q), heads.keys(k))
        weights = torch.softmax(with_mask(scores, heads, mask), dim=-1)
        return heads.rows(torch.bmm(weights, heads.values(v)))

    def scale(self, x: torch.Tensor, factor: float) -> torch.Tensor:
        return x * factor

    def layer_norm(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        centred = x - self._row_mean(x)
        variance = self._row_mean(centred * centred)
        return centred * torch.rsqrt(variance + epsilon) * weight + bias

    def activation(self, x: torch.Tensor, activation: Activation) -> torch.Tensor:
        return activations.value(x, activation)

    def gate(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return gate * torch.sigmoid(gate) * up

    def take_rows(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return torch.index_select(x, 1, rows)


def inner(x: torch.Tensor, adapter: Adapter) -> torch.Tensor:
    """scale · x Aᵀ of every copy: [copies, rows, rank], from [1 or copies, rows, inputs]."""
    copies, rank, inputs = adapter.a.shape
    if x.shape[0] == copies:
        return torch.bmm(x, adapter.a.mT) * adapter.scale
    # One x for all copies: their A are the columns of one matrix.
    at_once = torch.bmm(x, adapter.a.reshape(1, copies * rank, inputs).mT)
    return at_once.view(-1, copies, rank).permute(1, 0, 2) * adapter.scale


def with_mask(scores: torch.Tensor, heads: HeadShapes, mask: torch.Tensor) -> torch.Tensor:
    """Scores [copies · matrices, group · length, length] plus a mask.

    Args:
        mask: [length, length] for all sequences, or [batch, 1, length].
    """
    queries = heads.length if mask.dim() == 2 else heads.heads * heads.length
    of_mask = scores.view(-1, *mask.shape[:-2], queries, heads.length)
    return (of_mask + mask).view(scores.shape)
