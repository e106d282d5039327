"""How far the native runner's slopes are from the exact ones of the same weights.

`error` is ‖measured − exact‖ / ‖exact‖ over slopes along Rademacher directions, `cosine` that of
the two; exact slopes are forward-mode derivatives in float64 by PyTorch, of what the quantized
weights stand for. With `--parts`, the same slopes by PyTorch with the rounding that the runner's
products with quantized matrices do to their input: of values, of tangents, of both, and of both
where what is left of a value is rounded once more and multiplied too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from random_gguf import (
    STORIES_15M,
    Shape,
    finish,
    llama_writer,
    lora_layout,
    tensor_shapes,
    write_random_adapter,
)
from torch_llama import NO_TARGET, Round, Rounding, TorchLlama, to_blocks, to_half, with_remainder

from android_harness.building.runner_build import build_runner
from android_harness.job import Estimator, Job, ProbeTask
from android_harness.records import ProbeRecord, parse_records
from exporters.lora.directions import direction

Weights = dict[str, NDArray[np.float32]]
Kind = gguf.GGMLQuantizationType
KINDS = {"f32": Kind.F32, "f16": Kind.F16, "q8_0": Kind.Q8_0, "q4_0": Kind.Q4_0}
EPSILONS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)
_DEVIATION = 0.02  # of the LoRA values
_DIRECTIONS_PER_PASS = 8


@dataclass(frozen=True)
class Model:
    name: str
    shape: Shape
    weights: Weights

    def quantized(self, kind: Kind) -> dict[str, Kind]:
        """What each tensor becomes: rows that are no whole number of blocks stay float32."""
        block = gguf.GGML_QUANT_SIZES[kind][0]
        return {
            name: kind if weights.ndim == 2 and weights.shape[1] % block == 0 else Kind.F32
            for name, weights in self.weights.items()
        }

    def write(self, path: Path, kind: Kind) -> dict[str, torch.Tensor]:
        """Writes the model and returns the weights that the file stands for."""
        writer = llama_writer(path, self.shape)
        stored = {}
        for name, tensor_kind in self.quantized(kind).items():
            data = gguf.quants.quantize(self.weights[name], tensor_kind)
            writer.add_tensor(name, data, raw_dtype=tensor_kind)
            stored[name] = torch.from_numpy(gguf.quants.dequantize(data, tensor_kind)).double()
        finish(writer)
        return stored


def random_model(shape: Shape, seed: int = 0) -> Model:
    """Weights of deviation 1/√columns; embeddings and head larger, so that tokens matter."""
    generator = np.random.default_rng(seed)
    larger = {"token_embd.weight": 4, "output.weight": 2}
    weights = {}
    for name, size in tensor_shapes(shape).items():
        drawn = generator.standard_normal(size)
        drawn = 1 + 0.1 * drawn if len(size) == 1 else drawn * larger.get(name, 1) / size[1] ** 0.5
        weights[name] = drawn.astype(np.float32)
    return Model("random-15M", shape, weights)


def read_model(path: Path) -> Model:
    """A float32 LLaMA, its head untied."""
    reader = gguf.GGUFReader(path)

    def number(key: str) -> int:
        return int(reader.fields[f"llama.{key}"].contents())

    weights = {str(t.name): np.array(t.data, dtype=np.float32) for t in reader.tensors}
    shape = Shape(
        layers=number("block_count"),
        hidden=number("embedding_length"),
        feed_forward=number("feed_forward_length"),
        heads=number("attention.head_count"),
        key_value_heads=number("attention.head_count_kv"),
        vocabulary=len(weights["token_embd.weight"]),
    )
    assert {n: w.shape for n, w in weights.items()} == tensor_shapes(shape), "not such a LLaMA"
    return Model(path.stem, shape, weights)


def random_tokens(model: Model, batch: int, tokens: int) -> torch.Tensor:
    generator = np.random.default_rng(3)
    drawn = generator.integers(3, model.shape.vocabulary, size=(batch, tokens + 1))
    return torch.from_numpy(drawn)


def told_tokens(model: Model, batch: int, tokens: int) -> torch.Tensor:
    """What the model itself tells after its first token, 1."""
    weights = {name: torch.from_numpy(value).double() for name, value in model.weights.items()}
    layout = lora_layout(model.shape)
    llama = TorchLlama(model.shape, layout, weights)
    nothing = torch.zeros(layout.parameters, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    told = torch.ones(batch, 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(tokens):
            last = torch.zeros_like(told, dtype=torch.bool)
            last[:, -1] = True
            p = torch.softmax(llama.logits(nothing, told, last), -1)
            told = torch.cat([told, torch.multinomial(p, 1, generator=generator)], 1)
    return told


@dataclass(frozen=True)
class Arm:
    estimator: Estimator
    epsilon: float | None
    refine: bool = False


ARMS = (
    Arm("tangent", None),
    Arm("tangent", None, refine=True),
    *(Arm("central", epsilon) for epsilon in EPSILONS),
    *(Arm("forward", epsilon) for epsilon in EPSILONS),
)


def measure(
    model: Model, quantization: str, drawn: torch.Tensor, loss: str, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    kind, layout = KINDS[quantization], lora_layout(model.shape)
    values = np.random.default_rng(1).normal(0, _DEVIATION, layout.parameters).astype(np.float32)
    tokens, targets = drawn[:, :-1], drawn[:, 1:].clone()
    if loss == "last":
        targets[:, :-1] = NO_TARGET
    seeds = range(1, options.directions + 1)
    directions = np.stack([direction(seed, layout.parameters) for seed in seeds])
    with tempfile.TemporaryDirectory() as folder:
        stored = model.write(Path(folder) / "base.gguf", kind)
        write_random_adapter(Path(folder) / "lora.gguf", model.shape)
        (Path(folder) / "values.f32").write_bytes(values.astype("<f4").tobytes())
        rows = zip(tokens.tolist(), targets.tolist(), strict=True)
        lines = (json.dumps({"tokens": t, "targets": wanted}) + "\n" for t, wanted in rows)
        (Path(folder) / "examples.jsonl").write_text("".join(lines))
        measured = _run(Path(folder), len(tokens), seeds, options.threads)

    def exact(rounding: Rounding | None = None) -> NDArray[np.float64]:
        llama = TorchLlama(model.shape, layout, stored, rounding)
        return llama.slopes(torch.from_numpy(values).double(), directions, tokens, targets)

    def row(by: str, arm: Arm, slopes: NDArray[np.float64]) -> dict[str, object]:
        return {
            "model": model.name,
            "quantization": quantization,
            "loss": loss,
            "batch": len(tokens),
            "tokens": tokens.shape[1],
            "directions": len(seeds),
            "by": by,
            "estimator": arm.estimator,
            "epsilon": arm.epsilon,
            "refine": arm.refine,
            "error": float(np.linalg.norm(slopes - reference) / np.linalg.norm(reference)),
            "cosine": float(
                slopes @ reference / np.linalg.norm(slopes) / np.linalg.norm(reference)
            ),
        }

    reference = exact()
    for arm, slopes in zip(ARMS, measured, strict=True):
        yield row("runner", arm, slopes)
    if options.parts and kind != Kind.F32:
        rounded = frozenset(n for n, k in model.quantized(kind).items() if k == kind)
        once = to_half if kind == Kind.F16 else to_blocks
        parts: dict[str, tuple[Round | None, Round | None]] = {
            "values": (once, None),
            "tangents": (None, once),
            "both": (once, once),
            "both and values' remainders": (with_remainder(once), once),
        }
        for part, (of_values, of_tangents) in parts.items():
            slopes = exact(Rounding(rounded, of_values, of_tangents))
            yield row(f"PyTorch, {part} rounded", ARMS[0], slopes)


def _run(folder: Path, batch: int, seeds: Sequence[int], threads: int) -> NDArray[np.float64]:
    """The runner's slopes, [arms, directions]."""
    tasks = tuple(
        ProbeTask(
            batch=tuple(range(batch)),
            estimator=arm.estimator,
            epsilon=arm.epsilon,
            refine=arm.refine,
            directions=tuple(seeds),
            directions_per_pass=_DIRECTIONS_PER_PASS,
        )
        for arm in ARMS
    )
    job = Job(
        model="base.gguf",
        adapter="lora.gguf",
        examples="examples.jsonl",
        lora_values="values.f32",
        threads=threads,
        tasks=tasks,
    )
    job.write(folder / "job.json")
    done = run([build_runner(), folder / "job.json"], capture_output=True, text=True, check=True)
    slopes = [
        record.slope
        for record in parse_records(done.stdout, device="local")
        if isinstance(record, ProbeRecord)
    ]
    return np.array(slopes).reshape(len(tasks), len(seeds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--stories", type=Path, help="a trained float32 LLaMA, e.g. stories260K.gguf"
    )
    parser.add_argument("--quantizations", default=",".join(KINDS))
    parser.add_argument("--losses", default="all,last", help="positions that have a target")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--directions", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="also which rounding it comes from")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    models = [(random_model(STORIES_15M), random_tokens)]
    if options.stories is None:
        print("no real weights: --stories names none", file=sys.stderr)
    else:
        models.insert(0, (read_model(options.stories), told_tokens))
    for model, draw in models:
        drawn = draw(model, options.batch, options.tokens)
        for quantization in options.quantizations.split(","):
            for loss in options.losses.split(","):
                for row in measure(model, quantization, drawn, loss, options):
                    print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, object]) -> str:
    step = " refined" if row["refine"] else ""
    step = step if row["epsilon"] is None else f" ε={row['epsilon']:g}"
    return (
        f"{row['model']:>12} {row['quantization']:>4}, loss at {row['loss']:<4}"
        f" {row['by']:<43} {row['estimator']:>7}{step:<9}"
        f" error {row['error']:8.3%}, cosine {row['cosine']:.6f} (measured)"
    )


if __name__ == "__main__":
    main()
