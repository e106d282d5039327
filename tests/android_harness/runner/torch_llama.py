"""The loss of a GGUF model with LoRA in PyTorch, in float64 and GGUF's own row order.

Written from the definitions of the architecture, for derivatives to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from android_harness.job import Loss, VerbalizerLoss
from exporters.lora.layout import LoraTensor
from tests.android_harness.runner.runner_models import MODULES, Bench, Shape

Weights = Mapping[str, NDArray[np.float32]]


class TorchLlama:
    """`loss(flat)` is the mean over all targets of a batch; `slopes` its derivatives."""

    def __init__(
        self,
        bench: Bench,
        weights: Weights,
        rows: Sequence[Mapping[str, Sequence[int]]],
        loss: Loss,
    ) -> None:
        self._shape, self._layout = bench.shape, bench.layout
        self._theta = torch.from_numpy(bench.values.astype(np.float64))
        self._weights = {
            name: torch.from_numpy(value.astype(np.float64)) for name, value in weights.items()
        }
        self._rows, self._loss = rows, loss

    def slopes(self, directions: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Shape [directions]."""
        found = [
            torch.func.jvp(self.loss, (self._theta,), (torch.from_numpy(v.astype(np.float64)),))[1]
            for v in directions
        ]
        return torch.stack(found).numpy()

    def loss(self, flat: torch.Tensor) -> torch.Tensor:
        lora = {(t.layer, t.module, t.matrix): self._matrix(t, flat) for t in self._layout.tensors}
        losses = []
        for row in self._rows:
            targets = torch.tensor(row["targets"])
            logits = self._logits(torch.tensor(row["tokens"]), lora)[targets >= 0]
            targets = targets[targets >= 0]
            if isinstance(self._loss, VerbalizerLoss):
                labels = torch.tensor(self._loss.tokens)
                shifts = torch.tensor(self._loss.shifts or (0.0,) * len(labels))
                logits = logits[:, labels] + shifts
                targets = (targets[:, None] == labels).int().argmax(1)
            losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
        return torch.cat(losses).mean()

    def _matrix(self, tensor: LoraTensor, flat: torch.Tensor) -> torch.Tensor:
        value = flat[tensor.slice].reshape(tensor.shape)
        rotary = tensor.matrix == "B" and tensor.module in ("q_proj", "k_proj")
        if rotary and self._shape.architecture == "llama":
            halves = value.reshape(-1, 2, self._shape.head_size // 2, self._layout.rank)
            value = halves.transpose(1, 2).reshape(value.shape)
        return value

    def _logits(
        self, tokens: torch.Tensor, lora: Mapping[tuple[int, str, str], torch.Tensor]
    ) -> torch.Tensor:
        shape, weights = self._shape, self._weights

        def linear(layer: int, module: str, x: torch.Tensor) -> torch.Tensor:
            name = f"blk.{layer}.{MODULES[module]}"
            y = x @ weights[f"{name}.weight"].T
            if (layer, module, "A") in lora:
                scale = self._layout.alpha / self._layout.rank
                y = y + scale * (x @ lora[layer, module, "A"].T) @ lora[layer, module, "B"].T
            bias = weights.get(f"{name}.bias")
            return y if bias is None else y + bias

        def norm(name: str, x: torch.Tensor) -> torch.Tensor:
            return x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-5) * weights[f"{name}.weight"]

        x = weights["token_embd.weight"][tokens]
        closed = torch.ones(len(tokens), len(tokens)).triu(1).bool()
        for layer in range(shape.layers):
            h = norm(f"blk.{layer}.attn_norm", x)
            q, k, v = (
                linear(layer, module, h).reshape(len(tokens), -1, shape.head_size).transpose(0, 1)
                for module in ("q_proj", "k_proj", "v_proj")
            )
            group = shape.heads // shape.key_value_heads
            k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
            scores = _rotated(shape, q) @ _rotated(shape, k).transpose(1, 2)
            scores = scores / np.sqrt(shape.head_size)
            p = torch.softmax(scores.masked_fill(closed, -torch.inf), -1)
            x = x + linear(layer, "o_proj", (p @ v).transpose(0, 1).reshape(len(tokens), -1))
            h = norm(f"blk.{layer}.ffn_norm", x)
            gate = torch.nn.functional.silu(linear(layer, "gate_proj", h))
            x = x + linear(layer, "down_proj", gate * linear(layer, "up_proj", h))
        head = weights.get("output.weight", weights["token_embd.weight"])
        return norm("output_norm", x) @ head.T


def _rotated(shape: Shape, x: torch.Tensor) -> torch.Tensor:
    """Rotary embeddings of [heads, tokens, head_size]: pairs are neighbours under llama."""
    half = shape.head_size // 2
    scale = 1.0 / shape.metadata.get("rope.scaling.factor", 1.0)
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[1])[:, None] * scale * frequencies
    if shape.architecture == "llama":
        a, b = x[..., 0::2], x[..., 1::2]
    else:
        a, b = x[..., :half], x[..., half:]
    turned = (a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos())
    if shape.architecture == "llama":
        return torch.stack(turned, -1).flatten(-2)
    return torch.cat(turned, -1)
