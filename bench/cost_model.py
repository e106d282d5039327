"""How far the cost and memory models are off in settings that they were not fitted to.

Two random models, of stories260K's shape and of 5M parameters, become bundles of ggml; the larger
one becomes one of ExecuTorch too, whose programs take minutes to compile. A sweep measures the
settings that the models are fitted to and `--held-out` others, in random order together. These
differ in batch, tokens, directions, estimator and range of layers, and ExecuTorch pads most of them
to its programs' sizes. An error is |predicted − measured| over measured: of the median seconds
per probe (`median_error`, `p90_error`), of the same by CPU time, which other programs disturb less
(`cpu_median_error`), and of the peak memory (`memory_median_error`; `memory_lowest` is the
prediction that is the farthest below, 0 where none is). Rows of the model `all` are over the
settings of all models of a backend.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from engines import write_random_model
from random_gguf import STORIES_260K, Shape

from android_harness.building.runner_build import build_runner
from android_harness.job import Warmup
from android_harness.runs.installed_runner import install_runner
from android_harness.targets.open_target import open_target
from device_bench.costs.cost_model import fit_cost_model
from device_bench.costs.memory_model import fit_memory_model
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape
from device_bench.plans.sweep_plan import Arm, arms_of
from device_bench.samples.measurement import Measurement
from device_bench.samples.samples_folder import SAMPLES_NAME, read_measurements
from device_bench.sweeps.sweep import run_sweep
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle

SHAPES = {"stories260K": STORIES_260K, "random5M": Shape(4, 256, 704, 4, 2, 8000, 512)}
MODELS = {"ggml-cpu": ("stories260K", "random5M"), "xnnpack": ("random5M",)}
_LORA = LoraRequest(rank=8)
_LONGEST = 128
_PROGRAMS = ProgramRequest(
    shapes=((2, 32), (4, 64), (1, _LONGEST)), loss_slots=(4,), tangent_slots=(4,)
)
# Columns of tokens in all copies of a pass: larger settings take long and are no harder.
_MOST_COLUMNS = 1024


@dataclass(frozen=True)
class Errors:
    """Relative errors of the held-out settings, float64 [settings] each; signed for memory."""

    seconds: np.ndarray
    cpu_seconds: np.ndarray
    memory: np.ndarray


def fitted_arms(layers: int) -> list[Arm]:
    kinds = ["central", "tangent"]
    return [
        *arms_of([1, 4], [32, _LONGEST], [1, 2], kinds),
        *arms_of([1], [96], [8], kinds),
        *arms_of([4], [64], [4], kinds, [(layers - 1, layers - 1), (layers // 2, layers - 1)]),
    ]


def held_out_arms(layers: int, count: int, seed: int) -> list[Arm]:
    """Half of them move a range of layers."""
    grid = [
        arm
        for arm in arms_of(
            [1, 2, 3, 4, 5, 6, 8],
            [16, 24, 48, 64, 80, 96, 112, _LONGEST],
            [1, 2, 3, 4, 6, 8],
            ["central", "forward", "tangent"],
            [(first, last) for last in range(1, layers) for first in range(1, last + 1)],
        )
        if arm.batch * arm.tokens * arm.setting.columns <= _MOST_COLUMNS
    ]
    chosen = random.Random(seed).sample(grid, count)
    whole = [arm.model_copy(update={"layers": None}) for arm in chosen[::2]]
    return [arm for arm in (*whole, *chosen[1::2]) if arm not in fitted_arms(layers)]


def export(name: str, model: str, folder: Path, backend: str) -> Bundle:
    out = folder / f"{name}-{backend}"
    if backend == "ggml-cpu":
        return export_gguf(model, out, quantization="q8_0", lora=_LORA, parity_directions=0)
    return export_executorch(
        model, out, quantization="int8", lora=_LORA, programs=_PROGRAMS, parity_directions=0
    )


def measure(bundle: Bundle, folder: Path, options: argparse.Namespace) -> Errors:
    layers = bundle.manifest.architecture.layers
    fitted = fitted_arms(layers)
    held_out = held_out_arms(layers, options.held_out, options.seed)
    with open_target("local") as target:
        sweep = run_sweep(
            install_runner(target, bundle),
            [*fitted, *held_out],
            folder,
            warmup=Warmup(most_ms=15_000),
            repetitions=2,
            minimum_ms=50,
            blocks=options.blocks,
        )
    jobs: dict[Setting, list[Measurement]] = defaultdict(list)
    for measurement in read_measurements(folder / SAMPLES_NAME):
        jobs[measurement.arm.setting].append(measurement)
    wall = {setting: _median(each, "wall_ns") for setting, each in jobs.items()}
    cpu = {setting: _median(each, "cpu_ns") for setting, each in jobs.items()}
    peaks = {setting: max(job.vm_hwm_bytes for job in each) for setting, each in jobs.items()}
    known, others = ([arm.setting for arm in arms] for arms in (fitted, held_out))
    return Errors(
        np.abs(_errors(sweep.shape, wall, known, others)),
        np.abs(_errors(sweep.shape, cpu, known, others)),
        _memory_errors(sweep.shape, peaks, known, others),
    )


def _median(jobs: Sequence[Measurement], clock: str) -> float:
    """Seconds per probe of the steady repetitions of all jobs."""
    return float(
        np.median(
            [
                getattr(sample, clock) / sample.directions / 1e9
                for job in jobs
                for sample in job.samples
                if sample.phase == "steady"
            ]
        )
    )


def _by_kind(settings: Sequence[Setting]) -> Iterator[list[Setting]]:
    for tangents in (False, True):
        yield [each for each in settings if (each.estimator == "tangent") == tangents]


def _errors(
    shape: ModelShape,
    seconds: dict[Setting, float],
    known: Sequence[Setting],
    others: Sequence[Setting],
) -> np.ndarray:
    errors = []
    for fitted, held_out in zip(_by_kind(known), _by_kind(others), strict=True):
        model = fit_cost_model(shape, fitted, [seconds[each] for each in fitted])
        for setting in held_out:
            work = shape.work(setting)
            assert work is not None
            predicted = model.seconds(work) / setting.directions_per_pass
            errors.append(predicted / seconds[setting] - 1)
    return np.array(errors)


def _memory_errors(
    shape: ModelShape,
    peaks: dict[Setting, int],
    known: Sequence[Setting],
    others: Sequence[Setting],
) -> np.ndarray:
    errors = []
    for fitted, held_out in zip(_by_kind(known), _by_kind(others), strict=True):
        model = fit_memory_model(shape, fitted, [peaks[each] for each in fitted])
        for setting in held_out:
            held = shape.held(setting)
            assert held is not None
            errors.append(model.peak_bytes(held) / peaks[setting] - 1)
    return np.array(errors)


def row(backend: str, model: str, errors: Sequence[Errors]) -> dict[str, object]:
    seconds = np.concatenate([each.seconds for each in errors])
    cpu = np.concatenate([each.cpu_seconds for each in errors])
    memory = np.concatenate([each.memory for each in errors])
    return {
        "backend": backend,
        "model": model,
        "n": len(seconds),
        "median_error": float(np.median(seconds)),
        "p90_error": float(np.quantile(seconds, 0.9)),
        "cpu_median_error": float(np.median(cpu)),
        "cpu_p90_error": float(np.quantile(cpu, 0.9)),
        "memory_median_error": float(np.median(np.abs(memory))),
        "memory_lowest": float(min(0.0, memory.min())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--backends", default=",".join(MODELS))
    parser.add_argument("--held-out", type=int, default=24, help="settings of each model")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of held-out settings")
    options = parser.parse_args()
    for engine in ("ggml", "executorch"):
        build_runner(engine=engine)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, shape in SHAPES.items():
            write_random_model(folder / name, shape)
        for backend in options.backends.split(","):
            found = {}
            for name in MODELS[backend]:
                bundle = export(name, str(folder / name), folder, backend)
                found[name] = measure(bundle, folder / f"samples-{name}-{backend}", options)
                _show(row(backend, name, [found[name]]), options)
            _show(row(backend, "all", list(found.values())), options)


def _show(values: dict[str, object], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(values), flush=True)
        return
    print(
        f"{values['backend']:>9} {values['model']:>11}: {values['n']} held-out settings, seconds "
        f"{values['median_error']:.1%} off in the median, {values['p90_error']:.1%} at the 90 % "
        f"quantile (CPU time {values['cpu_median_error']:.1%}, {values['cpu_p90_error']:.1%}); "
        f"peak memory {values['memory_median_error']:.1%}, lowest {values['memory_lowest']:+.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
