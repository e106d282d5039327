"""The two native runners side by side: CPU seconds per slope and peak memory, .pte and .gguf.

One random model with LoRA of rank 8 on q and v becomes a bundle of each engine for each
quantization. Time tasks of all bundles take turns on one thread; `ratio` is the median cost of a
slope over that of ggml's runner in the quantization beside it (`PAIRS`), `lowest` and `highest`
what single repetitions allow. Neither asks Linux for Intel's AMX, which no phone has. `bytes` is
VmHWM of the runner's process, the largest of its jobs. `bp_ratio` is what one backpropagation step
for the same LoRA takes in PyTorch, float32, on the same batch, over that (`peak_memory.py` says how
it is measured).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peak_memory import SHAPES, Setting, measure_torch
from random_gguf import Shape
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from android_harness.building.runner_build import build_runner
from android_harness.examples import NO_LOSS, Example, write_examples
from android_harness.job import NO_WARMUP, Estimator, TimeTask
from android_harness.records import MemoryRecord, SampleRecord
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.open_target import open_target
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle

PAIRS = {"int8": "q8_0", "8da4w": "q4_0", "f32": "f32"}
_LORA = LoraRequest(rank=8)
_EPSILON = 1e-2


@dataclass
class Arm:
    runner: InstalledRunner
    quantization: str
    estimator: Estimator
    directions: int
    seconds: list[float] = field(default_factory=list)  # per slope, of each block
    peak: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.runner.engine, self.quantization, self.estimator


def write_random_model(folder: Path, shape: Shape) -> None:
    """A Hugging Face folder; its tokenizer knows little, which no token id depends on here."""
    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    byte_level.train_from_iterator(
        ["a model of random weights is as fast as any other"],
        trainers.BpeTrainer(
            vocab_size=270,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    PreTrainedTokenizerFast(
        tokenizer_object=byte_level, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_value_heads,
            max_position_embeddings=shape.context,
            bos_token_id=0,
            eos_token_id=1,
        )
    ).save_pretrained(folder)


def export(folder: Path, quantization: str, options: argparse.Namespace) -> Iterator[Bundle]:
    """The bundle of each engine."""
    model = str(folder / "model")
    yield export_gguf(
        model,
        folder / PAIRS[quantization],
        quantization=PAIRS[quantization],  # type: ignore[arg-type]
        lora=_LORA,
        parity_directions=0,
    )
    yield export_executorch(
        model,
        folder / f"pte-{quantization}",
        quantization=quantization,
        lora=_LORA,
        programs=ProgramRequest(
            shapes=((options.batch, options.tokens),),
            positions="all" if options.loss == "all" else "one",
            loss_slots=(2,),
            tangent_slots=(options.directions,),
        ),
        parity_directions=0,
    )


def time_once(arm: Arm, examples: Path, batch: int, repetitions: int) -> None:
    """One job of the arm."""
    task = TimeTask(
        batch=tuple(range(batch)),
        estimator=arm.estimator,
        epsilon=_EPSILON,
        directions_per_pass=arm.directions,
        warmup=NO_WARMUP,
        repetitions=repetitions,
    )
    for record in arm.runner.run(examples=examples, tasks=[task], threads=1):
        if isinstance(record, SampleRecord) and record.phase == "steady":
            arm.seconds.append(record.cpu_ns / record.directions / 1e9)
        if isinstance(record, MemoryRecord):
            arm.peak = max(arm.peak, record.vm_hwm_bytes)


def measure(name: str, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    shape = SHAPES[name]
    quantizations = options.quantizations.split(",")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_random_model(folder / "model", shape)
        first = 0 if options.loss == "all" else options.tokens - 1
        targets = (NO_LOSS,) * first + (5,) * (options.tokens - first)
        example = Example(tuple(range(3, 3 + options.tokens)), targets)
        write_examples(folder / "examples.jsonl", [example] * options.batch)
        with open_target("local") as target:
            arms = [
                Arm(install_runner(target, bundle), bundle.manifest.quantization, estimator, count)
                for quantization in quantizations
                for bundle in export(folder, quantization, options)
                for estimator, count in (("tangent", options.directions), ("central", 1))
            ]
            for _ in range(options.blocks):
                for arm in arms:
                    time_once(arm, folder / "examples.jsonl", options.batch, options.repetitions)
    setting = Setting(shape, options.loss, options.batch, options.tokens, 1)
    yield from rows(name, arms, measure_torch(setting, "lora").step, options)


def rows(
    name: str, arms: Sequence[Arm], backpropagation: float, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    by_key = {arm.key: arm for arm in arms}
    for arm in arms:
        beside = by_key["ggml", PAIRS.get(arm.quantization, arm.quantization), arm.estimator]
        cost = statistics.median(arm.seconds)
        yield {
            "model": name,
            "batch": options.batch,
            "tokens": options.tokens,
            "loss": options.loss,
            "engine": arm.runner.engine,
            "quantization": arm.quantization,
            "estimator": arm.estimator,
            "directions": arm.directions,
            "repetitions": len(arm.seconds),
            "seconds": cost,
            "ratio": cost / statistics.median(beside.seconds),
            "lowest": min(arm.seconds) / max(beside.seconds),
            "highest": max(arm.seconds) / min(beside.seconds),
            "bytes": arm.peak,
            "bp_ratio": backpropagation / arm.peak,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--models", default="stories15M,stories110M")
    parser.add_argument("--quantizations", default="int8,8da4w", help=", ".join(PAIRS))
    parser.add_argument("--loss", default="last", help="all positions, or the last")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--directions", type=int, default=8, help="of tangents, in a pass")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=2, help="of each job")
    options = parser.parse_args()
    for engine in ("ggml", "executorch"):
        build_runner(engine=engine)
    for name in options.models.split(","):
        for row in measure(name, options):
            print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, object]) -> str:
    return (
        f"{row['model']:>11} {row['engine']:>10} {row['quantization']:>5} {row['estimator']:>7} "
        f"x{row['directions']}: {row['seconds']:.4f} CPU s a slope, {row['ratio']:.2f} of ggml's "
        f"({row['lowest']:.2f} to {row['highest']:.2f}); {row['bytes'] / 1e6:.0f} MB, "  # type: ignore[operator]
        f"backpropagation {row['bp_ratio']:.1f} times that (measured)"
    )


if __name__ == "__main__":
    main()
