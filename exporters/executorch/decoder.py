"""A LLaMA-class decoder as a plain module, with the weights of a Hugging Face model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel

from exporters.executorch.arithmetic import Arithmetic, Value
from exporters.executorch.heads import HeadShapes
from exporters.executorch.model import Model
from exporters.executorch.rotary import Rotary
from exporters.executorch.sizes import Sizes
from exporters.manifest import Architecture

# Added to the score of a position that may not be seen; finite, since 0 · ∞ is no number.
_CLOSED = -1e9


class DecoderBlock(nn.Module):
    """One layer; its linear layers have the names that PEFT gives them."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention_norm = layer.input_layernorm.weight
        self.feed_forward_norm = layer.post_attention_layernorm.weight
        for owner, names in (
            (layer.self_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
            (layer.mlp, ("gate_proj", "up_proj", "down_proj")),
        ):
            for name in names:
                self.add_module(name, getattr(owner, name))


class CausalAttention(nn.Module):
    """What attention over batches of one size needs beside queries, keys and values.

    Attributes:
        queries: the rotation of queries, with the factor 1 / √size of the scores in it.
        keys: the rotation of keys.
        mask: float32 [length, length], added to the scores.
    """

    def __init__(self, heads: HeadShapes, frequencies: torch.Tensor) -> None:
        super().__init__()
        self.heads = heads
        self.queries = Rotary(frequencies, heads.length, heads.size**-0.5)
        self.keys = Rotary(frequencies, heads.length, 1.0)
        self.mask: torch.Tensor
        self.register_buffer("mask", torch.full((heads.length, heads.length), _CLOSED).triu(1))


class Decoder(Model):
    """Weights and order of computation; float32.

    Args:
        model: a Hugging Face causal model of a class that `architecture_of` admits. Its weights
            are shared, not copied, where they are float32 already.
    """

    second_input: ClassVar[str] = "rows"

    def __init__(self, model: PreTrainedModel, architecture: Architecture) -> None:
        super().__init__()
        # Not model.float(), which refuses models that were read from quantized files.
        whole: Any = nn.Module.float(model).requires_grad_(False)
        self._architecture = architecture
        self._frequencies = whole.model.rotary_emb.inv_freq
        self.embedding = nn.Embedding.from_pretrained(whole.model.embed_tokens.weight)
        self.blocks = nn.ModuleList(DecoderBlock(layer) for layer in whole.model.layers)
        self.norm = whole.model.norm.weight
        self.head = whole.lm_head

    @property
    def widths(self) -> tuple[int, ...]:
        return (self._architecture.hidden_size,)

    @property
    def classes(self) -> int:
        return self._architecture.vocabulary_size

    def second_input_of(self, sizes: Sizes) -> torch.Tensor:
        """Where losses are taken, as b · length + t: int64 [positions]."""
        return torch.zeros(sizes.positions, dtype=torch.int64)

    def frame(self, batch: int, length: int) -> CausalAttention:
        """The attention over batches of one size."""
        shapes = self._architecture
        heads = HeadShapes(batch, length, shapes.heads, shapes.key_value_heads, shapes.head_size)
        return CausalAttention(heads, self._frequencies)

    def forward(
        self,
        arithmetic: Arithmetic[Value],
        attention: CausalAttention,
        tokens: torch.Tensor,
        rows: torch.Tensor,
    ) -> Value:
        """The final norm's output at `rows`, int64 [positions], of `tokens`, int64 [B, T]."""
        epsilon = self._architecture.rms_norm_epsilon
        x = arithmetic.constant(self.embedding(tokens.flatten()))
        for index, module in enumerate(self.blocks):
            block: Any = module

            def linear(x: Value, name: str, block: Any = block, index: int = index) -> Value:
                return arithmetic.linear(x, getattr(block, name), (index, name))

            h = arithmetic.rms_norm(x, block.attention_norm, epsilon)
            q = arithmetic.rotate(linear(h, "q_proj"), attention.queries)
            k = arithmetic.rotate(linear(h, "k_proj"), attention.keys)
            v = linear(h, "v_proj")
            attended = arithmetic.attention(q, k, v, attention.heads, attention.mask)
            if index == len(self.blocks) - 1:  # nothing after it looks at other rows
                x, attended = (arithmetic.take_rows(each, rows) for each in (x, attended))
            x = arithmetic.add(x, linear(attended, "o_proj"))
            h = arithmetic.rms_norm(x, block.feed_forward_norm, epsilon)
            gated = arithmetic.gate(linear(h, "gate_proj"), linear(h, "up_proj"))
            x = arithmetic.add(x, linear(gated, "down_proj"))
        return arithmetic.rms_norm(x, self.norm, epsilon)
