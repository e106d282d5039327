"""CPU seconds per slope: the native runner against llama.cpp's own two forward passes.

The runner and llama.cpp are timed in turn, block after block, in one run; `ratio` is the runner's
median CPU seconds per slope over llama.cpp's of the same run. `products_share` is what the
products with frozen weights alone take of the runner's time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from llamacpp_probe import LlamaCppProbe, refuse_amx
from random_gguf import (
    STORIES_15M,
    STORIES_260K,
    TINYLLAMA_1B,
    Shape,
    write_random_adapter,
    write_random_base,
)

from android_harness.building.runner_build import build_products, build_runner
from android_harness.job import NO_WARMUP, Estimator, Job, PrefixPolicy, TimeTask
from android_harness.records import SampleRecord, parse_records
from exporters.lora.support import Support

SHAPES = {"stories260K": STORIES_260K, "stories15M": STORIES_15M, "tinyllama-1.1B": TINYLLAMA_1B}
_PREFIX = PrefixPolicy(bytes=1 << 28)


@dataclass(frozen=True)
class Arm:
    estimator: Estimator
    layers: str  # all, or the top quarter with what is below kept
    directions_per_pass: int
    refine: bool = False  # the primal's values seen to 16 bits by quantized weights, not 8

    def first_layer(self, shape: Shape) -> int:
        return 0 if self.layers == "all" else shape.layers - -(-shape.layers // 4)


ARMS = (
    Arm("tangent", "all", 8),
    Arm("tangent", "all", 8, refine=True),
    Arm("tangent", "top quarter", 8),
    Arm("tangent", "top quarter", 8, refine=True),
    Arm("central", "all", 1),
)


@dataclass(frozen=True)
class Bench:
    """A random model of a shape in a folder, and the batch that is timed."""

    shape: Shape
    folder: Path
    batch: int
    tokens: int
    threads: int

    @property
    def base(self) -> Path:
        return self.folder / "base.gguf"

    @property
    def adapter(self) -> Path:
        return self.folder / "lora.gguf"

    def time_runner(self, arm: Arm, repetitions: int) -> list[float]:
        """CPU seconds per slope of every repetition."""
        generator = np.random.default_rng(0)
        lines = []
        for _ in range(self.batch):
            ids = generator.integers(3, self.shape.vocabulary, size=self.tokens + 1).tolist()
            targets = [-100] * (self.tokens - 1) + ids[-1:]
            lines.append(json.dumps({"tokens": ids[:-1], "targets": targets}))
        (self.folder / "examples.jsonl").write_text("\n".join(lines) + "\n")
        task = TimeTask(
            batch=tuple(range(self.batch)),
            estimator=arm.estimator,
            epsilon=1e-2,
            refine=arm.refine,
            directions_per_pass=arm.directions_per_pass,
            support=Support(layers=(arm.first_layer(self.shape), self.shape.layers - 1)),
            warmup=NO_WARMUP,
            repetitions=repetitions,
            minimum_ns=200_000_000,
        )
        job = Job(
            model=str(self.base),
            adapter=str(self.adapter),
            examples="examples.jsonl",
            threads=self.threads,
            prefix=_PREFIX,
            tasks=(task,),
        )
        job.write(self.folder / "job.json")
        output = _output([build_runner(), self.folder / "job.json"])
        return [
            record.cpu_ns / record.directions / 1e9
            for record in parse_records(output, device="local")
            if isinstance(record, SampleRecord) and record.phase == "steady"
        ]

    def time_products(self, arm: Arm, repetitions: int) -> list[float]:
        """CPU seconds per slope of the products with frozen weights alone, under `tangent`."""
        numbers = (
            self.threads,
            arm.first_layer(self.shape),
            self.batch * self.tokens,
            self.batch,
            arm.directions_per_pass,
            repetitions,
        )
        output = _output([build_products(), self.base, *map(str, numbers)])
        return [int(line) / arm.directions_per_pass / 1e9 for line in output.split()]


def _output(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def measure(
    name: str, quantization: str, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    shape = SHAPES[name]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(shape, Path(folder), options.batch, options.tokens, options.threads)
        write_random_base(bench.base, shape, quantization)
        write_random_adapter(bench.adapter, shape)
        llama_cpp = LlamaCppProbe(bench.base, bench.adapter, options.threads)
        ours: dict[Arm, list[float]] = defaultdict(list)
        products: dict[Arm, list[float]] = defaultdict(list)
        theirs: list[float] = []
        for _ in range(options.blocks):
            for arm in ARMS:
                ours[arm] += bench.time_runner(arm, options.repetitions)
                if arm.estimator == "tangent" and not arm.refine:
                    products[arm] += bench.time_products(arm, options.repetitions)
            timed = llama_cpp.time(options.batch, options.tokens, options.repetitions)
            theirs += [cpu for _, cpu in timed]
        baseline = statistics.median(theirs)
        for arm in ARMS:
            seconds = statistics.median(ours[arm])
            yield {
                "model": name,
                "quantization": quantization,
                "batch": options.batch,
                "tokens": options.tokens,
                "threads": options.threads,
                **asdict(arm),
                "repetitions": len(ours[arm]),
                "seconds": seconds,
                "baseline": "llama.cpp, two forward passes with the adapter",
                "baseline_seconds": baseline,
                "ratio": seconds / baseline,
                "lowest_ratio": min(ours[arm]) / max(theirs),
                "highest_ratio": max(ours[arm]) / min(theirs),
                "products_share": statistics.median(products[arm]) / seconds
                if arm in products
                else None,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--models", default=",".join(SHAPES))
    parser.add_argument("--quantizations", default="q4_0,q8_0")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=2, help="per arm and block")
    options = parser.parse_args()
    refuse_amx()
    for name in options.models.split(","):
        for quantization in options.quantizations.split(","):
            for row in measure(name, quantization, options):
                print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, object]) -> str:
    share = row["products_share"]
    return (
        f"{row['model']:>15} {row['quantization']} {row['estimator']:>8}, {row['layers']:<11}"
        f" K={row['directions_per_pass']}{' refined' if row['refine'] else '':8}"
        f" {row['seconds']:.4f} s per slope,"
        f" llama.cpp {row['baseline_seconds']:.4f} s, ratio {row['ratio']:.3f}"
        f" ({row['lowest_ratio']:.3f} to {row['highest_ratio']:.3f})"
        + (f", products {share:.0%} of it" if share is not None else "")
        + " (measured, CPU seconds)"
    )


if __name__ == "__main__":
    main()
