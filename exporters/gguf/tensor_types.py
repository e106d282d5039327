"""Which types the tensors of a GGUF ended up with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import gguf

from exporters.manifest import TensorTypes

TensorClass = Literal["embedding", "attention", "feed_forward", "norm", "bias", "output"]
_CLASSES: tuple[TensorClass, ...] = (
    "embedding",
    "attention",
    "feed_forward",
    "norm",
    "bias",
    "output",
)


def tensor_types_of(base: Path) -> tuple[TensorTypes, ...]:
    """Counts GGUF types per class of tensors; classes without a tensor are left out."""
    counts: dict[TensorClass, Counter[str]] = {name: Counter() for name in _CLASSES}
    for tensor in gguf.GGUFReader(base).tensors:
        tensor_class = _class_of(tensor.name)
        if tensor_class is not None:
            counts[tensor_class][tensor.tensor_type.name.lower()] += 1
    return tuple(
        TensorTypes(tensor_class=name, types=dict(sorted(types.items())))
        for name, types in counts.items()
        if types
    )


def _class_of(name: str) -> TensorClass | None:
    if name.endswith(".bias"):
        return "bias"
    if name.endswith("_norm.weight"):
        return "norm"
    for part, tensor_class in (
        ("token_embd.", "embedding"),
        ("output.", "output"),
        (".attn_", "attention"),
        (".ffn_", "feed_forward"),
    ):
        if name.startswith(part) or (part.startswith(".") and part in name):
            return tensor_class  # type: ignore[return-value]
    return None  # rope_freqs: constants of the architecture
