"""Seconds per central probe: the native runner against llama.cpp's own two forward passes.

Both engines are timed in turn, block after block, in one run; `ratio` is the runner's median CPU
seconds per probe over llama.cpp's of the same run, so below 1 the runner is cheaper.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from llamacpp_probe import LlamaCppProbe
from random_gguf import TINYLLAMA_1B, Shape, write_random_adapter, write_random_base

from android_harness.job import Job, TimeTask
from android_harness.records import SampleRecord, parse_records
from android_harness.runner_build import build_runner

STORIES_SHAPE = Shape(5, 64, 172, 8, 4, 512)


@dataclass(frozen=True)
class Arm:
    batch: int
    tokens: int
    directions_per_pass: int


@dataclass(frozen=True)
class Model:
    name: str
    base: Path
    adapter: Path
    vocabulary: int


def models(stories: Path | None, folder: Path) -> Iterator[Model]:
    if stories is not None:
        adapter = folder / "stories-lora.gguf"
        write_random_adapter(adapter, STORIES_SHAPE)
        yield Model("stories260K", stories, adapter, STORIES_SHAPE.vocabulary)
    base, adapter = folder / "tinyllama.gguf", folder / "tinyllama-lora.gguf"
    write_random_base(base, TINYLLAMA_1B)
    write_random_adapter(adapter, TINYLLAMA_1B)
    yield Model("tinyllama-1.1B", base, adapter, TINYLLAMA_1B.vocabulary)


def time_runner(
    model: Model, arms: list[Arm], threads: int, repetitions: int, folder: Path
) -> dict[Arm, list[tuple[float, float]]]:
    """(wall, CPU) seconds per probe of every repetition."""
    examples, tasks = [], []
    generator = np.random.default_rng(0)
    for arm in arms:
        first = len(examples)
        for _ in range(arm.batch):
            ids = generator.integers(3, model.vocabulary, size=arm.tokens + 1).tolist()
            targets = [-100] * (arm.tokens - 1) + ids[-1:]
            examples.append(json.dumps({"tokens": ids[:-1], "targets": targets}))
        tasks.append(
            TimeTask(
                batch=tuple(range(first, first + arm.batch)),
                epsilon=1e-2,
                directions_per_pass=arm.directions_per_pass,
                warmup=1,
                repetitions=repetitions,
            )
        )
    (folder / "examples.jsonl").write_text("\n".join(examples) + "\n")
    job = Job(
        model=str(model.base),
        adapter=str(model.adapter),
        examples="examples.jsonl",
        threads=threads,
        tasks=tuple(tasks),
    )
    job.write(folder / "job.json")
    run = subprocess.run(
        [build_runner(), folder / "job.json"], capture_output=True, text=True, check=False
    )
    seconds: dict[Arm, list[tuple[float, float]]] = defaultdict(list)
    for record in parse_records(run.stdout, device="local"):
        if isinstance(record, SampleRecord) and record.phase == "steady":
            probe_ns = 1e9 * record.directions
            seconds[arms[record.task]].append((record.wall_ns / probe_ns, record.cpu_ns / probe_ns))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--stories", type=Path, help="also time this stories260K GGUF")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--directions", default="1,4", help="directions at once of the runner")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=2, help="per arm and block")
    options = parser.parse_args()
    arms = [
        Arm(batch, tokens, directions)
        for batch in (1, 4)
        for tokens in (32, 128)
        for directions in map(int, options.directions.split(","))
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in models(options.stories, folder):
            for row in measure(model, arms, options, folder):
                print(json.dumps(row) if options.json else _line(row), flush=True)


def measure(
    model: Model, arms: list[Arm], options: argparse.Namespace, folder: Path
) -> Iterator[dict[str, object]]:
    baseline = LlamaCppProbe(model.base, model.adapter, options.threads)
    ours: dict[Arm, list[tuple[float, float]]] = defaultdict(list)
    theirs: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for _ in range(options.blocks):
        timed = time_runner(model, arms, options.threads, options.repetitions, folder)
        for arm, seconds in timed.items():
            ours[arm] += seconds
        for shape in sorted({(arm.batch, arm.tokens) for arm in arms}):
            theirs[shape] += baseline.time(*shape, options.repetitions)
    for arm in arms:
        wall, cpu = (statistics.median(column) for column in zip(*ours[arm], strict=True))
        base_wall, base_cpu = (
            statistics.median(column) for column in zip(*theirs[arm.batch, arm.tokens], strict=True)
        )
        yield {
            "model": model.name,
            "batch": arm.batch,
            "tokens": arm.tokens,
            "directions_per_pass": arm.directions_per_pass,
            "threads": options.threads,
            "repetitions": len(ours[arm]),
            "seconds": cpu,
            "wall_seconds": wall,
            "baseline": "llama.cpp, two forward passes",
            "baseline_seconds": base_cpu,
            "baseline_wall_seconds": base_wall,
            "ratio": cpu / base_cpu,
            "wall_ratio": wall / base_wall,
        }


def _line(row: dict[str, object]) -> str:
    return (
        f"{row['model']:>15}  B={row['batch']} T={row['tokens']:<4} K={row['directions_per_pass']}"
        f"  {row['seconds']:.4f} s per probe, llama.cpp {row['baseline_seconds']:.4f} s,"
        f"  ratio {row['ratio']:.3f} (measured, CPU seconds)"
    )


if __name__ == "__main__":
    main()
