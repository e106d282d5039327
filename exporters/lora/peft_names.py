"""What PEFT calls the LoRA tensors of each family of models."""

from __future__ import annotations

from exporters.lora.layout import LoraTensor

_FEED_FORWARD = frozenset({"gate_proj", "up_proj", "down_proj"})
# Where a layer's attention is; LLaMA-class decoders are the rest.
_ENCODERS = {
    "bert": "bert.encoder.layer.{}.attention.self",
    "roberta": "roberta.encoder.layer.{}.attention.self",
    "distilbert": "distilbert.transformer.layer.{}.attention",
    "albert": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention",
}


def module_name(family: str, tensor: LoraTensor) -> str:
    """The adapted linear layer in the model, e.g. `model.layers.0.self_attn.q_proj`."""
    block = "mlp" if tensor.module in _FEED_FORWARD else "self_attn"
    place = _ENCODERS.get(family, "model.layers.{}." + block)
    return f"{place.format(tensor.layer)}.{tensor.module}"


def peft_name(family: str, tensor: LoraTensor) -> str:
    """The tensor in the adapter's file."""
    return f"base_model.model.{module_name(family, tensor)}.lora_{tensor.matrix}.weight"
