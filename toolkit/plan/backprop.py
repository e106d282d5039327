"""What backpropagation of LoRA would cost a phone; modelled, because no runner here does it."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.manifest import Manifest
from toolkit.plan.errors import PlanError

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class BackpropRule:
    """The price of a step in forward passes over the same batch.

    The backward pass computes a gradient with respect to the inputs of each product and, in full
    training, one with respect to its weights: two products for each of the forward pass, so three
    passes together (Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1).
    With frozen base weights the last is nearly spared, down to two; 3 is the usual rule. With
    `recompute` only the inputs of each layer are kept, and the layers run forward once more.
    """

    passes: float = 3.0
    recompute: bool = False
    optimizer_moments: int = 2  # floats per parameter that the optimizer keeps; Adam: 2, SGD: 0
    loss_positions: int = 1  # per example whose logits are kept

    def __post_init__(self) -> None:
        if not self.passes >= 1:
            raise PlanError("a backpropagation step costs at least one forward pass")
        if self.optimizer_moments < 0 or self.loss_positions < 1:
            raise PlanError("optimizer moments are not negative, loss positions at least 1")

    @property
    def forward_passes(self) -> float:
        return self.passes + (1.0 if self.recompute else 0.0)


def backprop_extra_bytes(
    manifest: Manifest, rule: BackpropRule, *, batch: int, tokens: float
) -> int:
    """Bytes that a step needs beside those of a forward pass, in float32.

    Kept for the backward pass, in floats per token and layer from the first adapted one up
    (counted as Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models,
    2022, do for GPT): the inputs of both norms and what they give (4 · hidden), queries and the
    attention's result (2 · heads · head size), keys and values (2 · key-value heads · head size),
    attention probabilities (heads · tokens), and gate, up and their product (3 · feed-forward).
    Then the logits and their softmax, and the gradient and moments of every LoRA parameter.
    """
    shape = manifest.architecture
    adapted = [tensor.layer for tensor in manifest.lora.tensors]
    layers = shape.layers - min(adapted, default=0)
    per_layer = (
        4 * shape.hidden_size
        + 2 * shape.heads * shape.head_size
        + 2 * shape.key_value_heads * shape.head_size
        + shape.heads * tokens
        + 3 * shape.feed_forward_size
    )
    kept = layers * shape.hidden_size + per_layer if rule.recompute else layers * per_layer
    logits = 2 * shape.vocabulary_size * rule.loss_positions
    parameters = manifest.lora.parameters * (1 + rule.optimizer_moments)
    return round(_FLOAT_BYTES * (batch * (tokens * kept + logits) + parameters))
