"""Which models are LLaMA-class, decided from the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PretrainedConfig

from exporters.errors import UnsupportedModelError
from exporters.manifest import Architecture

# Hugging Face model_type -> general.architecture in GGUF. Mistral's block is LLaMA's.
GGUF_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
_ROPE_TYPES = ("default", "linear", "llama3")


def architecture_of(config: PretrainedConfig) -> Architecture:
    """The shapes of a LLaMA-class model.

    A sliding attention window caps the context length: up to the window's length it masks
    nothing, so the artifact computes the same without implementing it.

    Raises:
        UnsupportedModelError: the model is of another class, or uses a feature that the exporters
            and the native runner do not implement; the message names it.
    """
    refuse_family(config.model_type)
    for reason in _unsupported_features(config):
        raise UnsupportedModelError(
            f"this {config.model_type} model has {reason}, which is not supported",
            remedy="export a plain LLaMA, Mistral or Qwen2 model",
        )
    rope_type = config.rope_parameters["rope_type"]
    return Architecture(
        family=config.model_type,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        feed_forward_size=config.intermediate_size,
        heads=config.num_attention_heads,
        key_value_heads=_key_value_heads(config),
        head_size=_head_size(config),
        vocabulary_size=config.vocab_size,
        context_length=min(config.max_position_embeddings, _window(config)),
        rope_theta=config.rope_parameters["rope_theta"],
        rope_scaling=None if rope_type == "default" else rope_type,
        rms_norm_epsilon=config.rms_norm_eps,
        tied_embeddings=bool(config.tie_word_embeddings),
        attention_bias=has_attention_bias(config),
    )


def refuse_family(model_type: str | None) -> None:
    """Raises UnsupportedModelError for a model_type that is not LLaMA-class."""
    if model_type not in GGUF_ARCHITECTURES:
        raise UnsupportedModelError(
            f"models of type {model_type!r} are not supported",
            remedy=f"export a model of type {', '.join(GGUF_ARCHITECTURES)}",
        )


def has_attention_bias(config: PretrainedConfig) -> bool:
    """Whether q, k and v have biases."""
    return config.model_type == "qwen2" or bool(getattr(config, "attention_bias", False))


def _unsupported_features(config: PretrainedConfig) -> Iterator[str]:
    rope = config.rope_parameters or {}
    rope_type = rope.get("rope_type")
    if rope_type not in _ROPE_TYPES:
        yield f"{rope_type!r} rope scaling"
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        yield "a partial rotary embedding"
    if config.hidden_act not in ("silu", "swish"):
        yield f"{config.hidden_act!r} activations"
    if getattr(config, "quantization_config", None):
        yield "already quantized weights"
    for name in config.architectures or ():
        if not name.endswith("ForCausalLM"):
            yield f"the head of {name} instead of a language model's"
    head_size = _head_size(config)
    if config.num_attention_heads % _key_value_heads(config):
        yield (
            f"{config.num_attention_heads} heads over {_key_value_heads(config)} key-value heads"
        )
    if config.model_type == "qwen2":
        if config.use_sliding_window:
            yield "sliding window attention"
        if head_size * config.num_attention_heads != config.hidden_size:
            yield f"a head size of {head_size} apart from its hidden size"
        if rope_type == "llama3":
            yield "llama3 rope scaling"


def _head_size(config: PretrainedConfig) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _key_value_heads(config: PretrainedConfig) -> int:
    return config.num_key_value_heads or config.num_attention_heads


def _window(config: PretrainedConfig) -> int:
    """Positions that attention reaches back over, itself included."""
    window = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
    return window or config.max_position_embeddings
