"""LoRA on a backbone's linear modules, read from a flat vector of parameters."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import nn

from exporters.lora.support import Matrix
from toolkit.simulation.backbone import Backbone, Context, linear_modules


class LoraMatrix(Protocol):
    """One A or B matrix of a flat vector."""

    @property
    def layer(self) -> int: ...

    @property
    def module(self) -> str: ...

    @property
    def matrix(self) -> Matrix: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def slice(self) -> slice: ...


class AdaptedBackbone:
    """A backbone whose linear modules add scale · B·A·x while `reading` lasts.

    The flat vector may be a wrapped tensor of torch.func or require a gradient: whatever runs
    inside `reading` is a function of it. Threads read vectors of their own.

    Args:
        matrices: A and B of each adapted module; `module` is its name in the layer, or the end
            of that name after a dot.
    """

    def __init__(self, backbone: Backbone, matrices: Sequence[LoraMatrix], scale: float) -> None:
        self.backbone = backbone
        self._scale = scale
        self._active = _Active()
        self._pairs: dict[tuple[int, nn.Module], dict[Matrix, LoraMatrix]] = {}
        for tensor in matrices:
            module = _module(backbone.layer(tensor.layer), tensor.module)
            self._pairs.setdefault((tensor.layer, module), {})[tensor.matrix] = tensor
        for module in dict.fromkeys(module for _, module in self._pairs):
            module.register_forward_hook(self._add)
        layers = {layer for layer, _ in self._pairs}
        self.first_layer = min(layers, default=backbone.depth)

    @contextmanager
    def reading(self, values: torch.Tensor) -> Iterator[None]:
        """While it lasts, LoRA is that of `values` [parameters]."""
        self._active.values = values
        try:
            yield
        finally:
            self._active.values = None

    def run(self, states: torch.Tensor, context: Context, first: int, end: int) -> torch.Tensor:
        """Layers `first` to `end`, exclusive, on states [batch, tokens, width]."""
        for number in range(first, end):
            self._active.layer = number
            states = self.backbone.run_layer(number, states, context)
        return states

    def _add(
        self, module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
    ) -> torch.Tensor | None:
        pair = self._pairs.get((self._active.layer, module))
        values = self._active.values
        if pair is None or values is None:
            return None
        a, b = (values[pair[which].slice].reshape(pair[which].shape) for which in ("A", "B"))
        return output + self._scale * (inputs[0] @ a.T @ b.T)


class _Active(threading.local):
    """What a thread computes with."""

    values: torch.Tensor | None = None
    layer: int = -1


def _module(layer: nn.Module, name: str) -> nn.Module:
    for full_name, module in linear_modules(layer).items():
        if full_name == name or full_name.endswith(f".{name}"):
            return module
    raise LookupError(f"the layer has no linear module {name}")
