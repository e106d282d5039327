"""Random quantized models of a real size, and a LoRA adapter for them, as GGUF files.

Blocks are random bits with a fixed scale: nothing is quantized, so a 1.1B model takes seconds.
Speed does not depend on the weights' values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

_BLOCK = 32  # weights that share a float16 scale
_DEVIATION = 0.02  # of the weights
# Bytes of a block beside its scale, and the deviation of what uniform bits stand for: nibbles
# in -8..7, bytes in -128..127.
_KINDS = {
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, 16, 4.6),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, 32, 73.9),
}


@dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    key_value_heads: int
    vocabulary: int
    context: int = 2048


STORIES_260K = Shape(5, 64, 172, 8, 4, 512)
STORIES_15M = Shape(6, 288, 768, 6, 6, 32000)
TINYLLAMA_1B = Shape(22, 2048, 5632, 32, 4, 32000)


def write_random_base(path: Path, shape: Shape, quantization: str = "q4_0", seed: int = 0) -> None:
    """A LLaMA-architecture GGUF with matrices of q4_0 or q8_0 and float32 norms.

    Rows that are no whole number of blocks are float32.
    """
    kind, block_bytes, spread = _KINDS[quantization]
    scale = np.float16(_DEVIATION / spread)
    generator = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.hidden // shape.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("no_vocab")

    def add_matrix(name: str, rows: int, columns: int) -> None:
        if columns % _BLOCK != 0:
            weights = generator.normal(0, _DEVIATION, size=(rows, columns))
            writer.add_tensor(name, weights.astype(np.float32))
            return
        blocks = np.empty((rows, columns // _BLOCK, 2 + block_bytes), dtype=np.uint8)
        blocks[:, :, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
        blocks[:, :, 2:] = generator.integers(0, 256, size=blocks[:, :, 2:].shape, dtype=np.uint8)
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=kind)

    def add_norm(name: str) -> None:
        writer.add_tensor(name, np.ones(shape.hidden, dtype=np.float32))

    key_value = shape.hidden // shape.heads * shape.key_value_heads
    add_matrix("token_embd.weight", shape.vocabulary, shape.hidden)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        add_norm(f"{block}.attn_norm.weight")
        add_matrix(f"{block}.attn_q.weight", shape.hidden, shape.hidden)
        add_matrix(f"{block}.attn_k.weight", key_value, shape.hidden)
        add_matrix(f"{block}.attn_v.weight", key_value, shape.hidden)
        add_matrix(f"{block}.attn_output.weight", shape.hidden, shape.hidden)
        add_norm(f"{block}.ffn_norm.weight")
        add_matrix(f"{block}.ffn_gate.weight", shape.feed_forward, shape.hidden)
        add_matrix(f"{block}.ffn_up.weight", shape.feed_forward, shape.hidden)
        add_matrix(f"{block}.ffn_down.weight", shape.hidden, shape.feed_forward)
    add_norm("output_norm.weight")
    add_matrix("output.weight", shape.vocabulary, shape.hidden)
    _finish(writer)


def write_random_adapter(path: Path, shape: Shape, rank: int = 8, seed: int = 1) -> None:
    """LoRA on q and v of every layer, both matrices random."""
    generator = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0 * rank)
    key_value = shape.hidden // shape.heads * shape.key_value_heads
    for layer in range(shape.layers):
        for module, rows in (("attn_q", shape.hidden), ("attn_v", key_value)):
            for suffix, size in (("lora_a", (rank, shape.hidden)), ("lora_b", (rows, rank))):
                values = generator.normal(0, 0.01, size=size).astype(np.float32)
                writer.add_tensor(f"blk.{layer}.{module}.weight.{suffix}", values)
    _finish(writer)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
