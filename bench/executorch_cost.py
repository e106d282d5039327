"""CPU seconds per slope of ExecuTorch programs: exact tangents against batched central differences.

Both kinds come from the same quantized weights and are timed in turn in one process on one thread.
Central differences run both signs of their directions as LoRA copies of one `loss` program (as
MobiZO batches them); a slope costs two copies. A batch may run in parts, so costs are per slope and
sequence, and `ratio` is a program's median cost over that of the cheapest `loss` program of the
same run; (1 + K) / 2K is what it would be if a tangent cost as much as a copy. Models are random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from exporters.architecture import architecture_of
from exporters.executorch.backends.xnnpack import Xnnpack
from exporters.executorch.decoder import Decoder
from exporters.executorch.delegation import delegation_of
from exporters.executorch.engine import Engine, one_thread
from exporters.executorch.lower import Method, lower, write
from exporters.executorch.programs import describe, inputs_of, program_module
from exporters.executorch.sizes import Kind, Sizes, method_name
from exporters.lora.layout import LoraLayout
from exporters.manifest import Program, Quantization


@dataclass(frozen=True)
class Shape:
    hidden: int
    inner: int
    layers: int
    heads: int
    vocabulary: int = 32000

    def decoder(self) -> Decoder:
        config = LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            attn_implementation="eager",
        )
        torch.manual_seed(0)
        return Decoder(LlamaForCausalLM(config).eval(), architecture_of(config))

    def layout(self, rank: int = 8) -> LoraLayout:
        """LoRA on the queries and values of every layer."""
        shapes = {
            (layer, module, matrix): (rank, self.hidden) if matrix == "A" else (self.hidden, rank)
            for layer in range(self.layers)
            for module in ("q_proj", "v_proj")
            for matrix in "AB"
        }
        return LoraLayout.from_shapes(shapes, rank=rank, alpha=16.0)


SHAPES = {
    "15M": Shape(288, 768, 6, 6),
    "110M": Shape(768, 2048, 12, 12),
    "110M-4layers": Shape(768, 2048, 4, 12, 2000),
}


def export(
    shape: Shape, quantization: Quantization, wanted: list[tuple[Kind, Sizes]], folder: Path
) -> list[Program]:
    backend, decoder, layout = Xnnpack(), shape.decoder(), shape.layout()
    backend.quantize_weights(decoder, quantization)
    methods = {}
    for kind, sizes in wanted:
        inputs = inputs_of(kind, sizes, decoder, layout.parameters)
        module = program_module(kind, decoder, layout, sizes)
        methods[method_name(kind, sizes)] = Method(module, tuple(inputs.values()))
    lowered = lower(methods, backend, quantization)
    write(lowered, folder)
    return [
        describe(kind, sizes, decoder, layout, delegation_of(lowered, name, backend))
        for name, (kind, sizes) in zip(methods, wanted, strict=True)
    ]


def inputs(program: Program) -> dict[str, torch.Tensor]:
    """Random values of the right ranges."""
    generator = torch.Generator().manual_seed(0)
    limits = {"tokens": 0, "targets": 0, "rows": program.batch * program.length}
    limits["tokens"] = limits["targets"] = next(
        each.shape[0] for each in program.inputs if each.name == "logit_bias"
    )
    found = {}
    for each in program.inputs:
        if each.dtype == "int64":
            found[each.name] = torch.randint(limits[each.name], each.shape, generator=generator)
        else:
            found[each.name] = torch.randn(each.shape, generator=generator) * 0.02
    return found


def measure(
    name: str, quantization: Quantization, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    shape = SHAPES[name]
    wanted: list[tuple[Kind, Sizes]] = []
    for text in options.programs.split(","):
        kind, batch, slots = text.split(":")
        positions = int(batch) * (options.tokens if options.positions == "all" else 1)
        wanted.append((kind, Sizes(int(batch), options.tokens, positions, int(slots))))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        programs = export(shape, quantization, wanted, Path(folder))
        engine = Engine(Path(folder))
        seconds: dict[str, list[float]] = {each.method: [] for each in programs}
        for repetition in range(options.repetitions + 1):  # the first packs the weights
            for program in programs:
                values = inputs(program)
                begin = time.process_time()
                engine.run(program, values)
                if repetition:
                    slopes = program.slots / (2 if program.kind == "loss" else 1)
                    spent = time.process_time() - begin
                    seconds[program.method].append(spent / slopes / program.batch)
    central = min(
        (each for each in programs if each.kind == "loss"),
        key=lambda each: statistics.median(seconds[each.method]),
    )
    baseline = statistics.median(seconds[central.method])
    for program in programs:
        found = seconds[program.method]
        yield {
            "model": name,
            "quantization": quantization,
            "batch": program.batch,
            "tokens": program.length,
            "positions": program.positions,
            "kind": program.kind,
            "slots": program.slots,
            "repetitions": len(found),
            "seconds": statistics.median(found),
            "lowest": min(found),
            "highest": max(found),
            "baseline": central.method,
            "ratio": statistics.median(found) / baseline,
            "portable": dict(program.delegation.portable),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--models", default="110M")
    parser.add_argument("--quantizations", default="f32,int8,8da4w")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--positions", choices=("one", "all"), default="one", help="per sequence")
    parser.add_argument(
        "--programs",
        default="loss:8:2,loss:2:16,tangent:2:16",
        help="kind:batch:slots",
    )
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    one_thread()
    for name in options.models.split(","):
        for quantization in options.quantizations.split(","):
            for row in measure(name, quantization, options):
                print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, object]) -> str:
    return (
        f"{row['model']:>6} {row['quantization']:>5} B={row['batch']} T={row['tokens']} "
        f"{row['kind']:>7} x{row['slots']:<2} {row['seconds']:.4f} s per slope and sequence "
        f"({row['lowest']:.4f} to {row['highest']:.4f}), "
        f"{row['ratio']:.3f} of {row['baseline']} (measured, CPU seconds)"
    )


if __name__ == "__main__":
    main()
