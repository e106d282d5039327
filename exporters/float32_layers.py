"""A low-precision checkpoint evaluated in float32, one layer's copy at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def float32_layers(backbone: Any) -> Iterator[None]:
    """While it lasts, a decoder without its head computes in float32.

    Embeddings are cast after the look-up; each decoder layer and the final norm hold float32
    copies of their weights only during their own forward pass, so memory grows by one layer.

    Args:
        backbone: has `embed_tokens`, `layers` and `norm`, as Hugging Face's LlamaModel.
    """
    hooks = [backbone.embed_tokens.register_forward_hook(lambda _, __, output: output.float())]
    for module in (*backbone.layers, backbone.norm):
        wide = _WideParameters()
        hooks.append(module.register_forward_pre_hook(wide.put))
        hooks.append(module.register_forward_hook(wide.take_back, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _WideParameters:
    """Swaps the parameters of a module and its children for float32 copies, and back.

    The entries of `_parameters` are swapped, not the parameters' data: inside torch.func
    transforms a copy is a wrapped tensor, which must not outlive the transform in a parameter.
    """

    def __init__(self) -> None:
        self._originals: list[tuple[nn.Module, str, nn.Parameter]] = []

    def put(self, module: nn.Module, _: Any) -> None:
        for owner in module.modules():
            entries: dict[str, Any] = owner._parameters
            for name, parameter in entries.items():
                if parameter is not None and parameter.dtype != torch.float32:
                    self._originals.append((owner, name, parameter))
                    entries[name] = parameter.detach().float()

    def take_back(self, *_: Any) -> None:
        for owner, name, parameter in self._originals:
            owner._parameters[name] = parameter
        self._originals.clear()
