"""What a model's forward pass is written in, so that one description serves both programs.

`Slots` (slots.py) computes K perturbed copies of the model side by side; `Duals` (duals.py) one
copy and its derivatives along K directions. Rows are the positions of a batch, [batch · length].
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

import torch
from torch import nn

from exporters.executorch.heads import HeadShapes
from exporters.executorch.rotary import Rotary

Value = TypeVar("Value")
Activation = Literal["gelu", "gelu_tanh", "relu", "tanh"]


class Arithmetic(Protocol[Value]):
    """The operations of a transformer block."""

    def constant(self, x: torch.Tensor) -> Value:
        """Rows that do not depend on LoRA: float32 [rows, width]."""
        ...

    def linear(self, x: Value, layer: nn.Linear, place: tuple[int, str]) -> Value:
        """`layer`, with the LoRA that adapts (layer, module) where there is one."""
        ...

    def add(self, x: Value, y: Value) -> Value: ...

    def rms_norm(self, x: Value, weight: torch.Tensor, epsilon: float) -> Value: ...

    def rotate(self, x: Value, rotary: Rotary) -> Value:
        """Rotary position embedding of every head."""
        ...

    def attention(
        self, q: Value, k: Value, v: Value, heads: HeadShapes, mask: torch.Tensor
    ) -> Value:
        """Softmax attention of queries that come scaled.

        `mask` is added to the scores: [length, length], or [batch, 1, length].
        """
        ...

    def scale(self, x: Value, factor: float) -> Value: ...

    def layer_norm(
        self, x: Value, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
    ) -> Value: ...

    def activation(self, x: Value, activation: Activation) -> Value: ...

    def gate(self, gate: Value, up: Value) -> Value:
        """silu(gate) · up"""
        ...

    def take_rows(self, x: Value, rows: torch.Tensor) -> Value:
        """Only some rows: int64 [positions]."""
        ...
