"""The model metadata of a GGUF: what llama.cpp and the native runner build their graph from."""

from __future__ import annotations

from typing import Any

import gguf

from exporters.manifest import Architecture


def write_metadata(
    writer: gguf.GGUFWriter, architecture: Architecture, rope: dict[str, Any], *, name: str
) -> None:
    """Adds everything but the vocabulary and the file type.

    Args:
        rope: the `rope_parameters` of the model's configuration.
        name: shown by tools as the model's name.
    """
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_vocab_size(architecture.vocabulary_size)
    writer.add_context_length(architecture.context_length)
    writer.add_embedding_length(architecture.hidden_size)
    writer.add_block_count(architecture.layers)
    writer.add_feed_forward_length(architecture.feed_forward_size)
    writer.add_head_count(architecture.heads)
    writer.add_head_count_kv(architecture.key_value_heads)
    writer.add_key_length(architecture.head_size)
    writer.add_value_length(architecture.head_size)
    writer.add_layer_norm_rms_eps(architecture.rms_norm_epsilon)
    writer.add_rope_dimension_count(architecture.head_size)
    assert architecture.rope_theta is not None
    writer.add_rope_freq_base(architecture.rope_theta)
    # llama3 scaling has no key: it is the tensor rope_freqs.
    if architecture.rope_scaling == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
