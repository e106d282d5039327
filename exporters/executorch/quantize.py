"""Weights quantized before tracing, with activations quantized dynamically, by torchao."""

from __future__ import annotations

from torch import nn

from exporters.manifest import Quantization

_GROUPS = (128, 32)  # of inputs that share a scale in 8da4w; the larger is faster


def quantize_dynamically(model: nn.Module, quantization: Quantization) -> None:
    """Quantizes linear layers and embeddings in place; f32 leaves all as it is.

    int8: 8-bit weights with a scale per output. 8da4w: 4-bit weights with a scale per group of
    inputs. Activations are 8-bit, with a range per row found at run time.
    """
