"""An encoder classifier (BERT, RoBERTa, DistilBERT, ALBERT) as a plain module.

All four are the post-norm transformer of BERT (Devlin et al., 2019) under other names; ALBERT (Lan
et al., 2020) runs the same block in every layer, so its LoRA moves all layers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel

from exporters.errors import UnsupportedModelError
from exporters.executorch.arithmetic import Activation, Arithmetic, Value
from exporters.executorch.heads import HeadShapes
from exporters.executorch.model import Model
from exporters.executorch.sizes import Sizes

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
_CLOSED = 1e9  # taken from the score of a position that is padding


@dataclass(frozen=True)
class _Parts:
    """Where a family keeps what all of them have."""

    embeddings: Any
    blocks: list[EncoderBlock]  # one per layer; ALBERT repeats its own
    widen: nn.Linear | None  # from ALBERT's narrow embeddings to the hidden size
    positions_from: int  # the first position's row of the position table
    pooler: nn.Linear
    pooler_activation: Activation
    head: nn.Linear


class EncoderBlock(nn.Module):
    """One layer.

    Args:
        index: by which the layer's LoRA is called.
        q, k, v: linear layers by the names that PEFT gives them.
    """

    def __init__(
        self,
        index: int,
        projections: dict[str, nn.Linear],
        output: nn.Linear,
        attention_norm: nn.LayerNorm,
        feed_forward: tuple[nn.Linear, nn.Linear],
        output_norm: nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.index = index
        self.names = tuple(projections)
        self.projections = nn.ModuleList(projections.values())
        self.output = output
        self.attention_norm = attention_norm
        self.expand, self.contract = feed_forward
        self.output_norm = output_norm

    def forward(
        self,
        arithmetic: Arithmetic[Value],
        x: Value,
        attend: Callable[[Value, Value, Value], Value],
        activation: Activation,
        only: torch.Tensor | None,
    ) -> Value:
        """The layer's output; `only` are the rows that are needed of it, None for all."""
        q, k, v = (
            arithmetic.linear(x, layer, (self.index, name))  # type: ignore[arg-type]
            for name, layer in zip(self.names, self.projections, strict=True)
        )
        attended = attend(q, k, v)
        if only is not None:
            x, attended = (arithmetic.take_rows(each, only) for each in (x, attended))
        y = arithmetic.linear(attended, self.output, (self.index, "output"))
        x = _normed(arithmetic, arithmetic.add(x, y), self.attention_norm)
        inner = arithmetic.linear(x, self.expand, (self.index, "expand"))
        inner = arithmetic.activation(inner, activation)
        y = arithmetic.linear(inner, self.contract, (self.index, "contract"))
        return _normed(arithmetic, arithmetic.add(x, y), self.output_norm)


class EncoderFrame(nn.Module):
    """What of a computation depends on the batch's size alone."""

    def __init__(self, heads: HeadShapes, positions: torch.Tensor) -> None:
        super().__init__()
        self.heads = heads
        self.positions: torch.Tensor
        self.first: torch.Tensor
        self.register_buffer("positions", positions.contiguous())
        self.register_buffer("first", torch.arange(heads.batch) * heads.length)


class Encoder(Model):
    """Weights and order of computation; float32.

    Args:
        model: a Hugging Face sequence classifier of one of the four families. Its weights are
            shared, not copied, where they are float32 already.

    Raises:
        UnsupportedModelError: the model has a feature that this module lacks.
    """

    second_input: ClassVar[str] = "mask"
    closed = _CLOSED  # what is taken from the score of a position of padding

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        whole: Any = nn.Module.float(model).requires_grad_(False)
        config = whole.config
        activation = _ACTIVATIONS.get(getattr(config, "hidden_act", None) or config.activation)
        if activation is None:
            raise UnsupportedModelError(
                f"this {config.model_type} model has {config.hidden_act!r} activations, which are "
                "not supported",
                remedy=f"export a model with {', '.join(_ACTIVATIONS)}",
            )
        parts = _PARTS[config.model_type](whole)
        self.activation: Activation = activation
        self.head_count = config.num_attention_heads
        self.embedding = nn.Embedding.from_pretrained(parts.embeddings.word_embeddings.weight)
        self.embedding_norm = parts.embeddings.LayerNorm
        self.widen = parts.widen
        unique = list(dict.fromkeys(parts.blocks))
        self.order = [unique.index(block) for block in parts.blocks]
        self.blocks = nn.ModuleList(unique)
        self.pooler = parts.pooler
        self.pooler_activation = parts.pooler_activation
        self.head = parts.head
        self._positions_from = parts.positions_from
        self._positions = _position_table(parts.embeddings)

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple({self.embedding.weight.shape[1], self.pooler.in_features})

    @property
    def classes(self) -> int:
        return self.head.out_features

    def second_input_of(self, sizes: Sizes) -> torch.Tensor:
        """1 for a token, 0 for padding: float32 [batch, length]."""
        return torch.ones(sizes.batch, sizes.length)

    def frame(self, batch: int, length: int) -> EncoderFrame:
        size = self.pooler.in_features // self.head_count
        heads = HeadShapes(batch, length, self.head_count, self.head_count, size)
        return EncoderFrame(
            heads, self._positions[self._positions_from : self._positions_from + length]
        )

    def forward(
        self,
        arithmetic: Arithmetic[Value],
        frame: EncoderFrame,
        tokens: torch.Tensor,
        mask: torch.Tensor,
    ) -> Value:
        """The head's input, one row per sequence of `tokens`, int64 [B, T]."""
        heads = frame.heads
        closed = (mask.view(heads.batch, 1, heads.length) - 1) * self.closed

        def attend(q: Value, k: Value, v: Value) -> Value:
            scaled = arithmetic.scale(q, heads.size**-0.5)
            return arithmetic.attention(scaled, k, v, heads, closed)

        embedded = self.embedding(tokens) + frame.positions
        x = arithmetic.constant(embedded.view(heads.batch * heads.length, -1))
        x = _normed(arithmetic, x, self.embedding_norm)
        if self.widen is not None:
            x = arithmetic.linear(x, self.widen, (-1, "widen"))
        for layer, index in enumerate(self.order):
            block: Any = self.blocks[index]
            only = frame.first if layer == len(self.order) - 1 else None
            x = block(arithmetic, x, attend, self.activation, only)
        pooled = arithmetic.linear(x, self.pooler, (-1, "pooler"))
        return arithmetic.activation(pooled, self.pooler_activation)


def _normed(arithmetic: Arithmetic[Value], x: Value, norm: nn.LayerNorm) -> Value:
    return arithmetic.layer_norm(x, norm.weight, norm.bias, norm.eps)


def _position_table(embeddings: Any) -> torch.Tensor:
    """Position embeddings, with those of the first token type where a family has types."""
    types = getattr(embeddings, "token_type_embeddings", None)
    table: torch.Tensor = embeddings.position_embeddings.weight
    return table if types is None else table + types.weight[:1]


def _bert_block(index: int, layer: Any) -> EncoderBlock:
    attention = layer.attention
    return EncoderBlock(
        index,
        {name: getattr(attention.self, name) for name in ("query", "key", "value")},
        attention.output.dense,
        attention.output.LayerNorm,
        (layer.intermediate.dense, layer.output.dense),
        layer.output.LayerNorm,
    )


def _bert(whole: Any) -> _Parts:
    bert = whole.bert
    blocks = [_bert_block(index, layer) for index, layer in enumerate(bert.encoder.layer)]
    return _Parts(bert.embeddings, blocks, None, 0, bert.pooler.dense, "tanh", whole.classifier)


def _roberta(whole: Any) -> _Parts:
    body, head = whole.roberta, whole.classifier
    blocks = [_bert_block(index, layer) for index, layer in enumerate(body.encoder.layer)]
    # Positions count from behind the padding token's id.
    start = body.embeddings.padding_idx + 1
    return _Parts(body.embeddings, blocks, None, start, head.dense, "tanh", head.out_proj)


def _distilbert(whole: Any) -> _Parts:
    body = whole.distilbert
    blocks = [
        EncoderBlock(
            index,
            {name: getattr(layer.attention, name) for name in ("q_lin", "k_lin", "v_lin")},
            layer.attention.out_lin,
            layer.sa_layer_norm,
            (layer.ffn.lin1, layer.ffn.lin2),
            layer.output_layer_norm,
        )
        for index, layer in enumerate(body.transformer.layer)
    ]
    return _Parts(body.embeddings, blocks, None, 0, whole.pre_classifier, "relu", whole.classifier)


def _albert(whole: Any) -> _Parts:
    body = whole.albert
    config = body.config
    if config.inner_group_num != 1:
        raise UnsupportedModelError(
            f"this albert model has {config.inner_group_num} layers in a group, which is not "
            "supported",
            remedy="export one with inner_group_num 1",
        )
    groups = []
    for index, group in enumerate(body.encoder.albert_layer_groups):
        (layer,) = group.albert_layers
        attention = layer.attention
        groups.append(
            EncoderBlock(
                index,
                {name: getattr(attention, name) for name in ("query", "key", "value")},
                attention.dense,
                attention.LayerNorm,
                (layer.ffn, layer.ffn_output),
                layer.full_layer_layer_norm,
            )
        )
    layers = config.num_hidden_layers
    blocks = [groups[layer * len(groups) // layers] for layer in range(layers)]
    widen = body.encoder.embedding_hidden_mapping_in
    return _Parts(body.embeddings, blocks, widen, 0, body.pooler, "tanh", whole.classifier)


_PARTS: dict[str, Callable[[Any], _Parts]] = {
    "bert": _bert,
    "roberta": _roberta,
    "distilbert": _distilbert,
    "albert": _albert,
}
