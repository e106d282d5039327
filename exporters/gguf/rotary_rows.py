"""The row order of rotary projections in GGUF files of architecture `llama`.

Hugging Face rotates dimension j of a head together with dimension j + head_size / 2; ggml's LLaMA
rotates neighbours 2j and 2j + 1. Rows of q and k (weights, biases, LoRA B) move accordingly.
Architecture `qwen2` keeps the Hugging Face order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exporters.architecture import GGUF_ARCHITECTURES
from exporters.manifest import Architecture


def row_order(architecture: Architecture, module: str) -> NDArray[np.intp] | None:
    """For each row in the GGUF, its row in Hugging Face; None where the orders are the same."""
    heads = {"q_proj": architecture.heads, "k_proj": architecture.key_value_heads}.get(module)
    if heads is None or GGUF_ARCHITECTURES[architecture.family] != "llama":
        return None
    rows = np.arange(heads * architecture.head_size)
    return rows.reshape(heads, 2, architecture.head_size // 2).swapaxes(1, 2).reshape(-1)
