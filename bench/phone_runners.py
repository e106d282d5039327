"""CPU seconds per slope of the runners for x86-64 phones, beside this machine's own runner.

They are all run here, in turn, block after block: what a compiler, a C library and a variant cost,
with no phone at hand. `ratio` is a runner's least CPU seconds over those of this machine's own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from random_gguf import Shape, write_random_adapter, write_random_base

from android_harness.building.recipe import native_recipe, phone_recipes
from android_harness.building.runner_build import build
from android_harness.job import NO_WARMUP, Job, TimeTask
from android_harness.records import SampleRecord, parse_records

# Widths that ggml multiplies at full speed, and few layers.
SHAPE = Shape(3, 512, 1536, 8, 4, 4000)
ESTIMATORS = ("tangent", "central")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toolchains", default="zig,gcc")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=4)
    options = parser.parse_args()
    recipes = [native_recipe()]
    for toolchain in options.toolchains.split(","):
        recipes += phone_recipes("x86_64", None, toolchain)
    runners = {" ".join(recipe.labels[1:]): build(recipe) for recipe in recipes}
    for quantization in ("q4_0", "q8_0"):
        for row in measure(runners, quantization, options.threads, options.blocks):
            print(json.dumps(row), flush=True)


def measure(
    runners: dict[str, Path], quantization: str, threads: int, blocks: int
) -> Iterator[dict[str, object]]:
    """A row for each estimator and runner; this machine's own runner is the first."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        job = write_job(Path(name), quantization, threads)
        for _ in range(blocks):
            for runner, path in runners.items():
                done = subprocess.run([path, job], capture_output=True, text=True, check=True)
                for record in parse_records(done.stdout, device=runner):
                    if isinstance(record, SampleRecord) and record.phase == "steady":
                        seconds = record.cpu_ns / record.directions / 1e9
                        times[ESTIMATORS[record.task], runner].append(seconds)
    own = next(iter(runners))
    for (estimator, runner), seconds in times.items():
        yield {
            "quantization": quantization,
            "estimator": estimator,
            "threads": threads,
            "runner": runner,
            "seconds": min(seconds),
            "ratio": min(seconds) / min(times[estimator, own]),
        }


def write_job(folder: Path, quantization: str, threads: int) -> Path:
    """Times both estimators on two examples of 48 tokens."""
    write_random_base(folder / "base.gguf", SHAPE, quantization)
    write_random_adapter(folder / "lora.gguf", SHAPE)
    ids = np.random.default_rng(0).integers(3, SHAPE.vocabulary, size=(2, 49)).tolist()
    rows = [{"tokens": row[:-1], "targets": row[1:]} for row in ids]
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = tuple(
        TimeTask(
            batch=(0, 1),
            estimator=estimator,
            epsilon=1e-2,
            directions_per_pass=4,
            warmup=NO_WARMUP,
            repetitions=2,
        )
        for estimator in ESTIMATORS
    )
    job = Job(
        model="base.gguf",
        adapter="lora.gguf",
        examples="examples.jsonl",
        threads=threads,
        tasks=tasks,
    )
    job.write(folder / "job.json")
    return folder / "job.json"


if __name__ == "__main__":
    main()
