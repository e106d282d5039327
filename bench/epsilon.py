"""How near the calibrated steps of the numeric gate are to the best ones.

For each bundle and difference estimator: the error of slopes at the calibrated ε, the least on a
dense grid (two steps in each doubling), and their `ratio`; `fixed_error` is that at ε = 0.01. An
error is ‖measured − exact‖ / ‖exact‖ over all directions of the bundle; exact slopes are PyTorch's
of the float model. The calibration sees 8 directions; it is repeated for `--subsets` random choices
of them, on the same measured losses: `ratio` has the median of these, `ratio_95` and `ratio_max`
the 95 % quantile and the largest.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from android_harness.building.runner_build import build_runner
from android_harness.job import Estimator, EvaluateTask, ProbeTask, Task
from android_harness.records import EvaluationRecord, ProbeRecord, Record
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.open_target import open_target
from device_bench.numerics.contract import StepLosses
from device_bench.numerics.measure import measure_numerics
from device_bench.numerics.questions import Questions, exported_questions
from device_bench.numerics.step_search import FINEST, STEPS, StepSearch, epsilon_at
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from exporters.parity_reference import relative_error
from toolkit.demo.model import make_model

GGUF = ("f32", "f16", "q8_0", "q4_0")
EXECUTORCH = ("int8", "8da4w")
DIFFERENCES: tuple[Estimator, ...] = ("central", "forward")
_SEEN = 8  # directions of a calibration
_FIXED = 0.01


@dataclass
class Losses:
    """Losses that were measured on a bundle: by ε, along every direction, on one of its batches."""

    installed: InstalledRunner
    examples: Path
    batch: tuple[int, ...]
    directions: tuple[int, ...]

    def __post_init__(self) -> None:
        records = self._run([EvaluateTask(batch=self.batch)])
        self.base = next(each.loss for each in records if isinstance(each, EvaluationRecord))
        self._known: dict[float, StepLosses] = {}

    def measure(self, epsilons: Sequence[float]) -> None:
        new = [each for each in dict.fromkeys(epsilons) if each not in self._known]
        tasks = [
            ProbeTask(
                batch=self.batch, estimator="central", epsilon=each, directions=self.directions
            )
            for each in new
        ]
        probes = [each for each in self._run(tasks) if isinstance(each, ProbeRecord)]
        for number, epsilon in enumerate(new):
            here = [probe for probe in probes if probe.task == number]
            self._known[epsilon] = StepLosses(
                epsilon=epsilon,
                plus=tuple(probe.loss_plus for probe in here),
                minus=tuple(probe.loss_minus for probe in here),
            )

    def at(self, epsilon: float, some: Sequence[int]) -> StepLosses:
        """Along some of the directions, by their numbers."""
        known = self._known[epsilon]
        return StepLosses(
            epsilon=epsilon,
            plus=tuple(known.plus[i] for i in some),
            minus=tuple(known.minus[i] for i in some),
        )

    def slopes(self, estimator: Estimator, epsilon: float) -> NDArray[np.float64]:
        known = self._known[epsilon]
        plus, minus = np.array(known.plus), np.array(known.minus)
        if estimator == "central":
            return np.asarray((plus - minus) / (2 * epsilon))
        return np.asarray((plus - self.base) / epsilon)

    def _run(self, tasks: Sequence[Task]) -> list[Record]:
        return self.installed.run(examples=self.examples, tasks=tasks, threads=1)


def measure(name: str, bundle: Bundle, subsets: int, folder: Path) -> Iterator[dict[str, object]]:
    questions = exported_questions(bundle.manifest, folder)
    assert questions is not None and questions.exact is not None
    with open_target("local") as target:
        installed = install_runner(target, bundle)
        evidence, _ = measure_numerics(
            installed,
            questions,
            DIFFERENCES,
            threads=1,
            cpu_mask=None,
            timeout_s=None,
            run_name=f"epsilon-{bundle.sha256[:12]}",
        )
        found = _calibrations(installed, questions, subsets)
        dense = Losses(installed, questions.examples, questions.batch, questions.directions)
        grid = [FINEST * 2 ** (step / 2) for step in range(2 * STEPS - 1)]
        answers = [each for steps in found.values() for each in steps]
        gate = [evidence.epsilon_of(each) or 0.0 for each in DIFFERENCES]
        dense.measure([*grid, *answers, *gate, _FIXED])
    exact = np.array(questions.exact)
    for estimator, epsilon in zip(DIFFERENCES, gate, strict=True):

        def error(at: float, by: Estimator = estimator) -> float:
            return relative_error(dense.slopes(by, at), exact)

        best = min(grid, key=error)
        ratios = [error(each) / error(best) for each in found[estimator]]
        yield {
            "bundle": name,
            "estimator": estimator,
            "epsilon": epsilon,
            "error": error(epsilon),
            "best_epsilon": best,
            "least_error": error(best),
            "ratio": float(np.median(ratios)),
            "ratio_95": float(np.quantile(ratios, 0.95)),
            "ratio_max": max(ratios),
            "fixed_error": error(_FIXED),
            "directions": len(exact),
            "gate_passes": evidence.passes,
        }


def _calibrations(
    installed: InstalledRunner, questions: Questions, subsets: int
) -> dict[Estimator, list[float]]:
    """The steps that calibrations by random choices of the directions find."""
    losses = Losses(installed, questions.examples, questions.calibration, questions.directions)
    losses.measure([epsilon_at(step) for step in range(-1, STEPS)])
    generator = np.random.default_rng(0)
    found: dict[Estimator, list[float]] = {each: [] for each in DIFFERENCES}
    for _ in range(subsets):
        some = generator.choice(len(questions.directions), _SEEN, replace=False).tolist()
        for estimator in DIFFERENCES:
            search = StepSearch(estimator)
            while wanted := search.wanted:
                search.tell({s: losses.at(epsilon_at(s), some) for s in wanted}, losses.base)
            found[estimator].append(search.best().epsilon)
    return found


def bundles(stories: str | None, directions: int, folder: Path) -> Iterator[tuple[str, Bundle]]:
    """stories260K as every quantization but 8da4w, for which its widths do not suit: the demo's."""
    lora = LoraRequest()
    make_model(folder / "demo")
    models = {"stories260K": stories} if stories else {"demo": str(folder / "demo")}
    for name, model in models.items():
        for kind in GGUF:
            out = folder / f"{name}-{kind}"
            yield (
                out.name,
                export_gguf(model, out, quantization=kind, lora=lora, parity_directions=directions),
            )
    for kind in EXECUTORCH:
        name, model = ("stories260K", stories) if stories and kind == "int8" else ("demo", None)
        out = folder / f"{name}-{kind}"
        yield (
            out.name,
            export_executorch(
                model or str(folder / "demo"),
                out,
                lora=lora,
                programs=ProgramRequest(shapes=((8, 64),)),
                quantization=kind,
                parity_directions=directions,
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--stories", help="stories260K.gguf; without it the demo's model alone")
    parser.add_argument("--directions", type=int, default=32)
    parser.add_argument("--subsets", type=int, default=200)
    options = parser.parse_args()
    for engine in ("ggml", "executorch"):
        build_runner(engine=engine)
    with tempfile.TemporaryDirectory() as folder:
        for name, bundle in bundles(options.stories, options.directions, Path(folder)):
            for row in measure(name, bundle, options.subsets, Path(folder)):
                print(json.dumps(row) if options.json else _line(row), flush=True)


def _line(row: dict[str, object]) -> str:
    return "  ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in row.items()
    )


if __name__ == "__main__":
    main()
