"""A LLaMA with LoRA in PyTorch, float64, for the exact slopes of a GGUF model's weights.

Written from the definitions of the architecture and in GGUF's row order. `Rounding` puts the
rounding of a quantizing engine's activations into it, apart for values and for tangents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from random_gguf import BLOCK, Shape
from torch.autograd import forward_ad

from exporters.lora.layout import LoraLayout

NO_TARGET = -100
_MODULES = {"q_proj": "attn_q", "v_proj": "attn_v"}


Round = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Rounding:
    """What products with some matrices do to their input, and to the input's tangent."""

    matrices: frozenset[str]  # by name
    of_values: Round | None
    of_tangents: Round | None

    def __call__(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if name not in self.matrices:
            return x
        value, tangent = forward_ad.unpack_dual(x)
        if self.of_values is not None:
            value = self.of_values(value)
        if tangent is None:
            return value
        if self.of_tangents is not None:
            tangent = self.of_tangents(tangent)
        return forward_ad.make_dual(value, tangent)


def to_blocks(x: torch.Tensor) -> torch.Tensor:
    """As ggml's q8_0: blocks of 32 signed bytes with a float16 scale."""
    blocks = x.reshape(*x.shape[:-1], -1, BLOCK)
    scales = blocks.abs().amax(-1, keepdim=True) / 127
    steps = torch.where(scales > 0, blocks / scales, 0).round()
    return (steps * scales.half().double()).flatten(-2)


def to_half(x: torch.Tensor) -> torch.Tensor:
    return x.half().double()


def with_remainder(to: Round) -> Round:
    """The rounded number and what it left, rounded likewise: two columns of a product."""

    def both(x: torch.Tensor) -> torch.Tensor:
        rounded = to(x)
        return rounded + to(x - rounded)

    return both


@dataclass(frozen=True)
class TorchLlama:
    """Weights by their GGUF names; all sequences of a batch are equally long."""

    shape: Shape
    layout: LoraLayout
    weights: Mapping[str, torch.Tensor]
    rounding: Rounding | None = None

    def slopes(
        self,
        values: torch.Tensor,
        directions: NDArray[np.float32],
        tokens: torch.Tensor,
        targets: torch.Tensor,
    ) -> NDArray[np.float64]:
        """Derivatives of the mean loss at the flat LoRA vector: [directions], nats per unit."""

        def loss(moved: torch.Tensor) -> torch.Tensor:
            return self.loss(moved, tokens, targets)

        with torch.no_grad():
            found = [
                torch.func.jvp(loss, (values,), (torch.from_numpy(one).double(),))[1]
                for one in directions
            ]
        return torch.stack(found).numpy()

    def loss(
        self, values: torch.Tensor, tokens: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        wanted = targets != NO_TARGET
        logits = self.logits(values, tokens, wanted)
        return torch.nn.functional.cross_entropy(logits, targets[wanted])

    def logits(
        self, values: torch.Tensor, tokens: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        """[wanted positions, vocabulary]"""
        lora = self._lora(values)
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.shape.layers):
            block = f"blk.{layer}"
            h = self._norm(f"{block}.attn_norm.weight", x)
            q, k, v = (self._linear(f"{block}.attn_{m}.weight", h, lora) for m in "qkv")
            x = x + self._linear(f"{block}.attn_output.weight", self._attend(q, k, v), lora)
            h = self._norm(f"{block}.ffn_norm.weight", x)
            gate = torch.nn.functional.silu(self._linear(f"{block}.ffn_gate.weight", h, lora))
            up = self._linear(f"{block}.ffn_up.weight", h, lora)
            x = x + self._linear(f"{block}.ffn_down.weight", gate * up, lora)
        return self._linear("output.weight", self._norm("output_norm.weight", x[wanted]), lora)

    def _lora(self, values: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        """A and B by the name of the matrix that they adapt."""
        found: dict[str, dict[str, torch.Tensor]] = {}
        for tensor in self.layout.tensors:
            value = values[tensor.slice].reshape(tensor.shape)
            if tensor.matrix == "B" and tensor.module == "q_proj":  # PEFT's rows to GGUF's
                halves = value.reshape(-1, 2, self.shape.head_size // 2, self.layout.rank)
                value = halves.transpose(1, 2).flatten(0, 2)
            name = f"blk.{tensor.layer}.{_MODULES[tensor.module]}.weight"
            found.setdefault(name, {})[tensor.matrix] = value
        return found

    def _linear(
        self, name: str, x: torch.Tensor, lora: Mapping[str, Mapping[str, torch.Tensor]]
    ) -> torch.Tensor:
        y = (x if self.rounding is None else self.rounding(name, x)) @ self.weights[name].T
        if name in lora:
            scale = self.layout.alpha / self.layout.rank
            y = y + scale * (x @ lora[name]["A"].T) @ lora[name]["B"].T
        return y

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * self.weights[name]

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            x.reshape(*x.shape[:2], -1, self.shape.head_size).transpose(1, 2) for x in (q, k, v)
        )
        group = self.shape.heads // self.shape.key_value_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = _rotated(q) @ _rotated(k).transpose(2, 3) / self.shape.head_size**0.5
        closed = torch.ones(scores.shape[-2:]).triu(1).bool()
        p = torch.softmax(scores.masked_fill(closed, -torch.inf), -1)
        return (p @ v).transpose(1, 2).flatten(2)


def _rotated(x: torch.Tensor) -> torch.Tensor:
    """Rotary embeddings of [sequences, heads, positions, head_size]; pairs are neighbours."""
    half = x.shape[-1] // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[2])[:, None] * frequencies
    a, b = x[..., 0::2], x[..., 1::2]
    turned = (a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos())
    return torch.stack(turned, -1).flatten(-2)
