"""How far the slopes of ExecuTorch programs are from the exact ones.

`error` is ‖measured − exact‖ / ‖exact‖ over slopes along Rademacher directions by the native
runner, `cosine` that of the two; exact slopes are forward-mode derivatives by PyTorch in float64.
`of: weights` compares with those of what the quantized weights stand for, so the rest is rounding
of activations; `of: model` with those of the model before it was quantized.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engines import write_random_model
from numpy.typing import NDArray
from random_gguf import STORIES_15M

from android_harness.building.runner_build import build_runner
from android_harness.examples import Example, write_examples
from android_harness.job import Estimator, ProbeTask
from android_harness.records import ProbeRecord
from android_harness.runs.installed_runner import install_runner
from android_harness.targets.open_target import open_target
from exporters.executorch.backends.xnnpack import Xnnpack
from exporters.executorch.batches import next_token_runs
from exporters.executorch.export import export_executorch
from exporters.executorch.model import Model
from exporters.executorch.programs import program_module
from exporters.executorch.sizes import ProgramRequest, Sizes
from exporters.executorch.subject import find_subject
from exporters.lora.directions import direction
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle, Program, Quantization
from exporters.parity_reference import cosine, relative_error

_BATCH, _TOKENS, _SLOTS = 4, 64, 8
_DEVIATION = 0.02  # of the LoRA values
EPSILONS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)


@dataclass(frozen=True)
class Arm:
    estimator: Estimator
    epsilon: float | None


ARMS = (
    Arm("tangent", None),
    *(Arm("central", epsilon) for epsilon in EPSILONS),
    *(Arm("forward", epsilon) for epsilon in EPSILONS),
)


def dequantized(model: Model) -> Model:
    """The model with every weight as the number that it stands for."""
    for module in model.modules():  # type: ignore[attr-defined]
        weight = getattr(module, "weight", None)
        if hasattr(weight, "dequantize") and type(weight) is not torch.nn.Parameter:
            module.weight = torch.nn.Parameter(weight.dequantize(), requires_grad=False)
    return model


def exact_slopes(
    model: Model,
    bundle: Bundle,
    program: Program,
    values: NDArray[np.float32],
    steps: NDArray[np.float32],
    sequences: NDArray[np.int64],
) -> NDArray[np.float64]:
    """By the tangent program's module in float64, [directions]."""
    sizes = Sizes(program.batch, program.length, program.positions, program.slots)
    module: Any = program_module("tangent", model, bundle.manifest.lora, sizes).double().eval()
    found = []
    for first in range(0, len(steps), program.slots):
        lora = {"lora": values, "directions": steps[first : first + program.slots]}
        doubles = {name: torch.from_numpy(value).double() for name, value in lora.items()}
        slopes = 0
        for run in next_token_runs(program, sequences):
            inputs = {n: v.double() if v.is_floating_point() else v for n, v in run.items()}
            with torch.no_grad():
                slopes = slopes + module(*(inputs | doubles).values())[1].numpy()
        found.append(slopes)
    return np.concatenate(found)


def measured_slopes(
    bundle: Bundle, folder: Path, seeds: range, examples: Path
) -> NDArray[np.float64]:
    """By the runner, [arms, directions]; the values are in values.f32."""
    tasks = [
        ProbeTask(
            batch=tuple(range(_BATCH)),
            estimator=arm.estimator,
            epsilon=arm.epsilon,
            directions=tuple(seeds),
        )
        for arm in ARMS
    ]
    with open_target("local") as target:
        records = install_runner(target, bundle).run(
            examples=examples, tasks=tasks, threads=1, lora_values=str(folder / "values.f32")
        )
    slopes = [record.slope for record in records if isinstance(record, ProbeRecord)]
    return np.array(slopes).reshape(len(ARMS), len(seeds))


def measure(
    name: str, model: str, quantization: Quantization, directions: int
) -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle = export_executorch(
            model,
            folder / "bundle",
            quantization=quantization,
            lora=LoraRequest(rank=8),
            programs=ProgramRequest(
                shapes=((_BATCH, _TOKENS),), positions="all", tangent_slots=(_SLOTS,)
            ),
            parity_directions=0,
        )
        generator = np.random.default_rng(1)
        parameters = bundle.manifest.lora.parameters
        values = generator.normal(0, _DEVIATION, parameters).astype(np.float32)
        (folder / "values.f32").write_bytes(values.astype("<f4").tobytes())
        vocabulary = bundle.manifest.architecture.vocabulary_size
        sequences = generator.integers(vocabulary, size=(_BATCH, _TOKENS + 1))
        rows = [Example(tuple(row[:-1]), tuple(row[1:])) for row in sequences.tolist()]
        write_examples(folder / "examples.jsonl", rows)
        seeds = range(1, directions + 1)
        measured = measured_slopes(bundle, folder, seeds, folder / "examples.jsonl")

        steps = np.stack([direction(seed, parameters) for seed in seeds])
        program = next(each for each in bundle.manifest.programs if each.kind == "tangent")
        subject = find_subject(model, None)
        plain = subject.module(subject.load_model(0))
        exact = {"model": exact_slopes(plain, bundle, program, values, steps, sequences)}
        rounded = subject.module(subject.load_model(0))
        Xnnpack().quantize_weights(rounded, quantization)  # type: ignore[arg-type]
        exact["weights"] = exact_slopes(
            dequantized(rounded), bundle, program, values, steps, sequences
        )
    for of, reference in exact.items():
        for arm, slopes in zip(ARMS, measured, strict=True):
            yield {
                "model": name,
                "quantization": quantization,
                "batch": _BATCH,
                "tokens": _TOKENS,
                "directions": directions,
                "of": of,
                "estimator": arm.estimator,
                "epsilon": arm.epsilon,
                "error": relative_error(slopes, reference),
                "cosine": cosine(slopes, reference),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--stories", help="a trained float32 LLaMA, e.g. stories260K.gguf")
    parser.add_argument("--quantizations", default="f32,int8,8da4w")
    parser.add_argument("--directions", type=int, default=32)
    options = parser.parse_args()
    build_runner(engine="executorch")
    with tempfile.TemporaryDirectory() as folder:
        write_random_model(Path(folder), STORIES_15M)
        models = {"random-15M": folder}
        if options.stories:
            models = {Path(options.stories).stem: options.stories} | models
        for name, model in models.items():
            for quantization in options.quantizations.split(","):
                if name != "random-15M" and quantization == "8da4w":
                    continue  # its widths are no whole groups
                for row in measure(name, model, quantization, options.directions):
                    print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, Any]) -> str:
    step = "" if row["epsilon"] is None else f" at {row['epsilon']:g}"
    return (
        f"{row['model']:>12} {row['quantization']:>5} {row['estimator'] + step:>18} of the "
        f"{row['of']:>7}: error {row['error']:.2%}, cosine {row['cosine']:.4f} (measured)"
    )


if __name__ == "__main__":
    main()
