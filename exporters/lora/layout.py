"""The order of all LoRA parameters in one flat vector.

Everything that perturbs, aggregates or ships LoRA values agrees on this order: by layer, then by
target module in the order of `TARGET_MODULES`, then A before B, each tensor row-major with the
shape and row order of PEFT (Hugging Face). Backends that store rows in another order, as GGUF
does for rotary projections, translate at their own border.
"""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from exporters.contract import Part

# The linear layers of a LLaMA block that can carry LoRA, in the order of the flat vector.
TARGET_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Those of an encoder's attention: of BERT, RoBERTa and ALBERT, then of DistilBERT. The layers of
# an ALBERT share their weights, and so its layers of LoRA are its groups of layers, mostly one.
ENCODER_MODULES = ("query", "key", "value", "q_lin", "k_lin", "v_lin")
_MODULES = (*TARGET_MODULES, *ENCODER_MODULES)


class LoraTensor(Part):
    """One A (`rank` × inputs) or B (outputs × `rank`) matrix inside the flat vector.

    `offset` counts parameters, not bytes.
    """

    layer: int
    module: str
    matrix: Literal["A", "B"]
    shape: tuple[int, int]
    offset: int

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)

    @property
    def gguf_name(self) -> str:
        """The tensor's name in a llama.cpp LoRA adapter."""
        return f"blk.{self.layer}.{_GGUF_MODULES[self.module]}.weight.lora_{self.matrix.lower()}"


_GGUF_MODULES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_PEFT_NAME = re.compile(
    r"(?:^|\.)(?:layers\.(\d+)\.(?:self_attn|mlp)"
    r"|layer\.(\d+)\.attention(?:\.self)?"
    r"|albert_layer_groups\.(\d+)\.albert_layers\.0\.attention)"
    r"\.(\w+)\.lora_([AB])(?:\.\w+)?\.weight$"
)


class LoraLayout(Part):
    """The ordered LoRA tensors, with the scaling `alpha / rank` that multiplies B·A."""

    rank: int
    alpha: float
    tensors: tuple[LoraTensor, ...]

    @property
    def parameters(self) -> int:
        """The length of the flat vector."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def layers(self) -> tuple[int, ...]:
        """The adapted layers, ascending."""
        return tuple(sorted({tensor.layer for tensor in self.tensors}))

    @classmethod
    def from_shapes(
        cls, shapes: dict[tuple[int, str, str], tuple[int, int]], *, rank: int, alpha: float
    ) -> LoraLayout:
        """Builds the layout from {(layer, module, "A" | "B"): shape}, in canonical order."""
        tensors, offset = [], 0
        for layer, module, matrix in sorted(
            shapes, key=lambda key: (key[0], _MODULES.index(key[1]), key[2])
        ):
            tensor = LoraTensor(
                layer=layer,
                module=module,
                matrix="A" if matrix == "A" else "B",
                shape=shapes[layer, module, matrix],
                offset=offset,
            )
            tensors.append(tensor)
            offset += tensor.size
        return cls(rank=rank, alpha=alpha, tensors=tuple(tensors))

    def flatten(self, tensors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The flat vector, float32 [parameters], of PEFT tensors given by their full names."""
        by_key = {}
        for name, value in tensors.items():
            if match := parse_peft_name(name):
                by_key[match] = value
        flat = np.empty(self.parameters, dtype=np.float32)
        for tensor in self.tensors:
            flat[tensor.slice] = by_key[tensor.layer, tensor.module, tensor.matrix].reshape(-1)
        return flat

    def unflatten(self, flat: NDArray[np.float32]) -> dict[LoraTensor, NDArray[np.float32]]:
        """Views of the flat vector, one per tensor, in its PEFT shape."""
        return {tensor: flat[tensor.slice].reshape(tensor.shape) for tensor in self.tensors}

    @model_validator(mode="after")
    def _offsets_are_contiguous(self) -> LoraLayout:
        expected = 0
        for tensor in self.tensors:
            if tensor.offset != expected:
                name = f"{tensor.matrix} of {tensor.module} in layer {tensor.layer}"
                raise ValueError(f"{name} starts at {tensor.offset}, not {expected}")
            expected += tensor.size
        return self


def parse_peft_name(name: str) -> tuple[int, str, str] | None:
    """(layer, module, "A" | "B") of a PEFT LoRA tensor name, or None for any other name."""
    match = _PEFT_NAME.search(name)
    if match is None or match[4] not in _MODULES:
        return None
    return int(match[1] or match[2] or match[3]), match[4], match[5]
