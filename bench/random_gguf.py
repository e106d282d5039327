"""Random quantized models of a real size, and a LoRA adapter for them, as GGUF files.

Blocks are random bits with a fixed scale: nothing is quantized, so a 1.1B model takes seconds.
Speed does not depend on the weights' values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from exporters.lora.layout import LoraLayout

BLOCK = 32  # weights that share a float16 scale
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

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def key_value(self) -> int:
        """Width of keys and of values."""
        return self.head_size * self.key_value_heads


STORIES_260K = Shape(5, 64, 172, 8, 4, 512)
STORIES_15M = Shape(6, 288, 768, 6, 6, 32000)
STORIES_110M = Shape(12, 768, 2048, 12, 12, 32000)
TINYLLAMA_1B = Shape(22, 2048, 5632, 32, 4, 32000)


def write_random_base(path: Path, shape: Shape, quantization: str = "q4_0", seed: int = 0) -> None:
    """A LLaMA-architecture GGUF with matrices of q4_0 or q8_0 and float32 norms.

    Rows that are no whole number of blocks are float32.
    """
    kind, block_bytes, spread = _KINDS[quantization]
    scale = np.float16(_DEVIATION / spread)
    generator = np.random.default_rng(seed)
    writer = llama_writer(path, shape)
    for name, size in tensor_shapes(shape).items():
        if len(size) == 1:
            writer.add_tensor(name, np.ones(size, dtype=np.float32))
            continue
        rows, columns = size
        if columns % BLOCK != 0:
            weights = generator.normal(0, _DEVIATION, size=size)
            writer.add_tensor(name, weights.astype(np.float32))
            continue
        blocks = np.empty((rows, columns // BLOCK, 2 + block_bytes), dtype=np.uint8)
        blocks[:, :, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
        blocks[:, :, 2:] = generator.integers(0, 256, size=blocks[:, :, 2:].shape, dtype=np.uint8)
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=kind)
    finish(writer)


def write_random_adapter(path: Path, shape: Shape, rank: int = 8, seed: int = 1) -> None:
    """LoRA on q and v of every layer, both matrices random."""
    generator = np.random.default_rng(seed)
    layout = lora_layout(shape, rank)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", layout.alpha)
    for tensor in layout.tensors:
        values = generator.normal(0, 0.01, size=tensor.shape).astype(np.float32)
        writer.add_tensor(tensor.gguf_name, values)
    finish(writer)


def lora_layout(shape: Shape, rank: int = 8) -> LoraLayout:
    """The order of that adapter's parameters."""
    shapes = {}
    for layer in range(shape.layers):
        for module, rows in (("q_proj", shape.hidden), ("v_proj", shape.key_value)):
            shapes[layer, module, "A"] = (rank, shape.hidden)
            shapes[layer, module, "B"] = (rows, rank)
    return LoraLayout.from_shapes(shapes, rank=rank, alpha=2.0 * rank)


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Matrices (rows, columns) and norms (columns,) of a model, in their order in the file."""
    hidden, feed_forward = shape.hidden, shape.feed_forward
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.vocabulary, hidden)}
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        shapes[f"{block}.attn_norm.weight"] = (hidden,)
        shapes[f"{block}.attn_q.weight"] = (hidden, hidden)
        shapes[f"{block}.attn_k.weight"] = (shape.key_value, hidden)
        shapes[f"{block}.attn_v.weight"] = (shape.key_value, hidden)
        shapes[f"{block}.attn_output.weight"] = (hidden, hidden)
        shapes[f"{block}.ffn_norm.weight"] = (hidden,)
        shapes[f"{block}.ffn_gate.weight"] = (feed_forward, hidden)
        shapes[f"{block}.ffn_up.weight"] = (feed_forward, hidden)
        shapes[f"{block}.ffn_down.weight"] = (hidden, feed_forward)
    shapes["output_norm.weight"] = (hidden,)
    shapes["output.weight"] = (shape.vocabulary, hidden)
    return shapes


def llama_writer(path: Path, shape: Shape) -> gguf.GGUFWriter:
    """A writer that has the model's metadata and waits for its tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
