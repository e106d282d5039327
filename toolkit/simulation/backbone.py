"""Transformers taken apart: embeddings, layers in order, and what follows the last one.

Layers are called one by one, so that those below the first adapted one need to run only once.
Attention is `eager`: forward-mode AD and vmap need its plain operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from exporters.errors import UnsupportedModelError

# What a layer is given beside its states: mask, rotary rows.
Context = dict[str, Any]


class Backbone(ABC):
    """A frozen transformer without its output head, in evaluation mode."""

    def __init__(self, layers: Sequence[nn.Module], width: int) -> None:
        self._layers = layers
        self.width = width

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self._layers)

    def layer(self, number: int) -> nn.Module:
        """The module of a layer; layers may share one."""
        return self._layers[number]

    def run_layer(self, number: int, states: torch.Tensor, context: Context) -> torch.Tensor:
        """One layer on states [batch, tokens, width]."""
        result: torch.Tensor = self._layers[number](states, **context)
        return result

    @abstractmethod
    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The states that enter the first layer, for int64 [batch, tokens] without padding."""

    @abstractmethod
    def context(self, lengths: torch.Tensor, longest: int, dtype: torch.dtype) -> Context:
        """What layers need for sequences of these lengths, padded at their ends to `longest`."""

    @abstractmethod
    def finish(self, states: torch.Tensor) -> torch.Tensor:
        """What follows the last layer."""


class Encoder(Backbone):
    """BERT, RoBERTa, DistilBERT or ALBERT.

    ALBERT's layers share their weights; here each has its own LoRA all the same, where PEFT
    would share one among them.

    Raises:
        UnsupportedModelError: another family, or a variant that is not implemented.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config: Any = model.config
        parts: Any = model
        take_apart = _ENCODERS.get(config.model_type)
        if take_apart is None:
            raise UnsupportedModelError(
                f"simulation of {config.model_type} encoders is not implemented",
                remedy=f"choose a model of one of {', '.join(_ENCODERS)}",
            )
        if getattr(config, "is_decoder", False):
            raise UnsupportedModelError("this encoder is configured as a decoder")
        super().__init__(take_apart(parts), config.hidden_size)
        self._embeddings = parts.embeddings
        # ALBERT's embeddings are narrower than its layers.
        self._widen = getattr(getattr(parts, "encoder", None), "embedding_hidden_mapping_in", None)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self._embeddings(tokens)
        return states if self._widen is None else self._widen(states)

    def context(self, lengths: torch.Tensor, longest: int, dtype: torch.dtype) -> Context:
        padding = torch.arange(longest)[None, :] >= lengths[:, None]
        mask = torch.zeros(padding.shape, dtype=dtype)
        mask.masked_fill_(padding, torch.finfo(dtype).min)
        return {"attention_mask": mask[:, None, None, :]}

    def finish(self, states: torch.Tensor) -> torch.Tensor:
        return states


class CausalDecoder(Backbone):
    """The decoder of a LLaMA-class causal model."""

    def __init__(self, model: PreTrainedModel) -> None:
        config: Any = model.config
        self._decoder: Any = model.model
        super().__init__(list(self._decoder.layers), config.hidden_size)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self._decoder.embed_tokens(tokens)
        return states

    def context(self, lengths: torch.Tensor, longest: int, dtype: torch.dtype) -> Context:
        # Padding comes after a sequence, where the causal mask already hides it.
        future = torch.ones(longest, longest, dtype=torch.bool).triu(1)
        mask = torch.zeros(longest, longest, dtype=dtype)
        mask.masked_fill_(future, torch.finfo(dtype).min)
        positions = torch.arange(longest)[None]
        return {
            "attention_mask": mask[None, None],
            "position_ids": positions,
            "position_embeddings": self._decoder.rotary_emb(torch.empty(0, dtype=dtype), positions),
        }

    def finish(self, states: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self._decoder.norm(states)
        return normed


def linear_modules(layer: nn.Module) -> dict[str, nn.Linear]:
    """The linear modules inside a layer by their names in it, in the order of definition."""
    return {name: module for name, module in layer.named_modules() if isinstance(module, nn.Linear)}


def _albert_layers(model: Any) -> list[nn.Module]:
    config = model.config
    if config.inner_group_num != 1:
        raise UnsupportedModelError("ALBERT with several inner layers a group is not implemented")
    per_group = config.num_hidden_layers / config.num_hidden_groups
    groups = model.encoder.albert_layer_groups
    return [
        groups[int(number / per_group)].albert_layers[0]
        for number in range(config.num_hidden_layers)
    ]


_ENCODERS: dict[str, Callable[[Any], Sequence[nn.Module]]] = {
    "bert": lambda model: list(model.encoder.layer),
    "roberta": lambda model: list(model.encoder.layer),
    "distilbert": lambda model: list(model.transformer.layer),
    "albert": _albert_layers,
}
