"""Tiny random GGUF models, adapters and examples for the native runner, and ways to run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from android_harness.building.runner_build import build_runner
from android_harness.job import Job, Loss, Task, VocabularyLoss
from android_harness.records import ProbeRecord, Record, parse_records
from exporters.lora.layout import LoraLayout

# GGUF's names of the linear layers, with PEFT's in the order of the flat LoRA vector.
MODULES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


@dataclass(frozen=True)
class Shape:
    """A model's shape; the defaults let every quantization divide the widths into its blocks."""

    architecture: str = "llama"
    layers: int = 3
    width: int = 256
    feed_forward: int = 512
    heads: int = 4
    key_value_heads: int = 2
    head_size: int = 64
    vocabulary: int = 300
    context: int = 96
    tied: bool = False
    biases: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)  # overrides and additions, no prefix

    def linear(self, module: str) -> tuple[int, int]:
        """(outputs, inputs) of a linear layer."""
        queries, keys = self.heads * self.head_size, self.key_value_heads * self.head_size
        return {
            "q_proj": (queries, self.width),
            "k_proj": (keys, self.width),
            "v_proj": (keys, self.width),
            "o_proj": (self.width, queries),
            "gate_proj": (self.feed_forward, self.width),
            "up_proj": (self.feed_forward, self.width),
            "down_proj": (self.width, self.feed_forward),
        }[module]


TINY = Shape(layers=2, width=32, feed_forward=48, heads=4, head_size=8, vocabulary=64, context=48)


def random_weights(shape: Shape, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """All tensors of a base model by their GGUF names."""
    generator = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return (generator.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    def vector(size: int, center: float) -> NDArray[np.float32]:
        return (center + 0.1 * generator.standard_normal(size)).astype(np.float32)

    weights = {"token_embd.weight": matrix(shape.vocabulary, shape.width) * 4}
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        weights[f"{block}.attn_norm.weight"] = vector(shape.width, 1)
        weights[f"{block}.ffn_norm.weight"] = vector(shape.width, 1)
        for module, name in MODULES.items():
            weights[f"{block}.{name}.weight"] = matrix(*shape.linear(module))
            if shape.biases and (shape.architecture == "llama" or module in "q_proj k_proj v_proj"):
                weights[f"{block}.{name}.bias"] = vector(shape.linear(module)[0], 0)
    weights["output_norm.weight"] = vector(shape.width, 1)
    if not shape.tied:
        weights["output.weight"] = matrix(shape.vocabulary, shape.width) * 2
    return weights


def write_base(
    path: Path,
    shape: Shape,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    weights: dict[str, NDArray[np.float32]] | None = None,
) -> Path:
    """Writes a base model; vectors stay float32, matrices are quantized."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    metadata: dict[str, Any] = {
        "block_count": shape.layers,
        "context_length": shape.context,
        "embedding_length": shape.width,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.key_value_heads,
        "attention.key_length": shape.head_size,
        "attention.value_length": shape.head_size,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": shape.head_size,
        "rope.freq_base": 10000.0,
        "vocab_size": shape.vocabulary,
        **shape.metadata,
    }
    for name, value in metadata.items():
        key = f"{shape.architecture}.{name}"
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    writer.add_tokenizer_model("no_vocab")  # llama.cpp wants one
    for name, tensor in (weights or random_weights(shape)).items():
        kind = quantization if tensor.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    _finish(writer)
    return path


def lora_layout(shape: Shape, modules: Sequence[str] = tuple(MODULES), rank: int = 4) -> LoraLayout:
    shapes = {}
    for layer in range(shape.layers):
        for module in modules:
            outputs, inputs = shape.linear(module)
            shapes[layer, module, "A"] = (rank, inputs)
            shapes[layer, module, "B"] = (outputs, rank)
    return LoraLayout.from_shapes(shapes, rank=rank, alpha=2.0 * rank)


def random_values(layout: LoraLayout, seed: int = 1) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 0.1, size=layout.parameters).astype(np.float32)


def write_adapter(
    path: Path, shape: Shape, layout: LoraLayout, values: NDArray[np.float32]
) -> Path:
    """A llama.cpp LoRA adapter: rows of q and k are in ggml's rotary order under `llama`."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", layout.alpha)
    for tensor, value in layout.unflatten(values).items():
        if (
            shape.architecture == "llama"
            and tensor.matrix == "B"
            and tensor.module in ("q_proj", "k_proj")
        ):
            halves = value.reshape(-1, 2, shape.head_size // 2, layout.rank)
            value = halves.swapaxes(1, 2).reshape(value.shape)
        writer.add_tensor(tensor.gguf_name, np.ascontiguousarray(value))
    _finish(writer)
    return path


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@dataclass(frozen=True)
class Bench:
    """A folder with a base, an adapter and examples, on which jobs are run."""

    folder: Path
    shape: Shape
    layout: LoraLayout
    values: NDArray[np.float32]

    @property
    def base(self) -> Path:
        return self.folder / "base.gguf"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter.gguf"

    def write_examples(self, sequences: Sequence[Sequence[int]]) -> None:
        """Every token is to be predicted from those before it."""
        rows = [{"tokens": list(s[:-1]), "targets": list(s[1:])} for s in sequences]
        self.write_rows(rows)

    def write_rows(self, rows: Sequence[dict[str, list[int]]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "examples.jsonl").write_text(text)

    def job(self, *tasks: Task, loss: Loss | None = None, **fields: Any) -> Path:
        job = Job(
            model="base.gguf",
            adapter="adapter.gguf",
            examples="examples.jsonl",
            loss=loss or VocabularyLoss(),
            threads=fields.pop("threads", 1),
            tasks=tasks,
            **fields,
        )
        path = self.folder / "job.json"
        job.write(path)
        return path

    def run(self, *tasks: Task, loss: Loss | None = None, **fields: Any) -> list[Record]:
        """The records of a job that is expected to succeed."""
        done = run_job(self.job(*tasks, loss=loss, **fields))
        assert done.returncode == 0, done.stdout
        return parse_records(done.stdout, device="local")


def run_job(path: Path, runner: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [runner or build_runner(), path],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def probes(records: Sequence[Record]) -> list[ProbeRecord]:
    return [record for record in records if isinstance(record, ProbeRecord)]


def make_bench(
    folder: Path,
    shape: Shape = TINY,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    modules: Sequence[str] = tuple(MODULES),
) -> Bench:
    layout = lora_layout(shape, modules)
    bench = Bench(folder, shape, layout, random_values(layout))
    write_base(bench.base, shape, quantization)
    write_adapter(bench.adapter, shape, layout, bench.values)
    return bench


def random_sequences(lengths: Sequence[int], vocabulary: int, seed: int = 2) -> list[list[int]]:
    """Sequences of `length` + 1 tokens, for `length` predictions each."""
    generator = np.random.default_rng(seed)
    return [generator.integers(3, vocabulary, size=n + 1).tolist() for n in lengths]
