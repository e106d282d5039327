"""Weights quantized before tracing, with activations quantized at run time, by torchao."""

from __future__ import annotations

from torch import nn

from exporters.errors import ExportError
from exporters.manifest import Quantization

GROUPS = (128, 32)  # of inputs that share a scale in 8da4w; the larger is faster


def quantize_dynamically(model: nn.Module, quantization: Quantization) -> None:
    """Quantizes linear layers and embeddings in place; f32 leaves all as it is.

    int8: 8-bit weights with a scale per output row. 8da4w: 4-bit weights with a scale per group
    of inputs. In both, activations are 8-bit with a range per row found at run time, and
    embeddings 8-bit with a scale per token. 4 bits are for products alone: a table is read row by
    row, so its size is no cost in time, and its error would enter every layer.

    Raises:
        ExportError: no group size divides a layer's inputs.
    """
    if quantization == "f32":
        return
    import torch
    from torchao.quantization import (
        Int8DynamicActivationIntxWeightConfig,
        IntxWeightOnlyConfig,
        quantize_,
    )
    from torchao.quantization.granularity import PerAxis, PerGroup

    if quantization == "int8":
        config = Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int8, weight_granularity=PerAxis(0)
        )
        quantize_(model, config, _is_linear)
    else:
        for group in GROUPS:
            config = Int8DynamicActivationIntxWeightConfig(
                weight_dtype=torch.int4,  # type: ignore[attr-defined]  # not in its stubs
                weight_granularity=PerGroup(group),
            )
            quantize_(model, config, lambda layer, _, group=group: _group_of(layer) == group)
    table = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
    quantize_(model, table, lambda layer, _: isinstance(layer, nn.Embedding))


def _is_linear(layer: nn.Module, _: str) -> bool:
    return isinstance(layer, nn.Linear)


def _group_of(layer: nn.Module) -> int | None:
    """The largest group size that divides a linear layer's inputs; None for other modules."""
    if not isinstance(layer, nn.Linear):
        return None
    for group in GROUPS:
        if layer.in_features % group == 0:
            return group
    raise ExportError(
        f"8da4w needs layers whose inputs divide by {GROUPS[-1]}, here are {layer.in_features}",
        remedy="choose int8 or f32",
    )
