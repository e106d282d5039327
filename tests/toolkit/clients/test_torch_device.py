"""The device in memory answers as a device with the native runner does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from android_harness.errors import RunnerFailedError
from android_harness.job import AlongTask, EvaluateTask, ProbeTask, Task, VerbalizerLoss
from android_harness.records import AlongRecord, EvaluationRecord, LoadRecord, ProbeRecord, Record
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.local_target import LocalTarget
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from exporters.manifest import Bundle
from tests.toolkit.torch_device import TorchDevice

TENSORS = 8  # of the bundle's LoRA
COMPOSITE = tuple(range(40, 40 + TENSORS))


@pytest.fixture
def pair(
    bundle: Bundle, runner_binary: Path, tmp_path: Path
) -> tuple[TorchDevice, InstalledRunner]:
    target = LocalTarget(tmp_path / "workspace")
    return TorchDevice("torch", bundle), install_runner(target, bundle, runner=runner_binary)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    path.write_text('{"tokens": [5, 6, 7], "targets": [6, 7, 8]}\n')
    return path


def numbers(records: list[Record]) -> list[float]:
    found: list[float] = []
    for record in records:
        if isinstance(record, ProbeRecord | AlongRecord):
            found += [record.slope, record.loss_plus, record.loss_minus]
        elif isinstance(record, EvaluationRecord):
            found.append(record.loss)
    return found


def predictions(records: list[Record]) -> list[tuple[int, ...]]:
    return [record.predictions for record in records if isinstance(record, EvaluationRecord)]


@pytest.mark.parametrize("estimator", ["tangent", "central", "forward"])
def test_both_answer_alike(
    pair: tuple[TorchDevice, InstalledRunner],
    bundle: Bundle,
    examples: Path,
    tmp_path: Path,
    estimator: str,
) -> None:
    assert len(bundle.manifest.lora.tensors) == TENSORS
    local = tmp_path / "u"
    parameters = bundle.manifest.lora.parameters
    local.write_bytes(np.random.default_rng(0).normal(size=parameters).astype("<f4").tobytes())
    how = {"batch": (0,), "estimator": estimator, "epsilon": 0.05}
    tasks: list[Task] = [
        ProbeTask(directions=(3, COMPOSITE), **how),
        ProbeTask(
            directions=(3, COMPOSITE),
            support=Support(layers=(1, 1), matrices="B"),
            distribution="gaussian",
            directions_per_pass=2,
            **how,
        ),
        AlongTask(direction="u.f32", **how),
        EvaluateTask(batch=(0,)),
    ]
    updates = (
        Combination(pairs=((7, 0.05), (COMPOSITE, -0.02))),
        Combination(support=Support(matrices="B"), pairs=((8, 0.05),)),
    )

    memory, device = (
        each.run(examples=examples, tasks=tasks, threads=1, updates=updates, files={"u.f32": local})
        for each in pair
    )

    assert numbers(memory) == pytest.approx(numbers(device), rel=1e-3, abs=1e-4)
    names = [[r.direction for r in run if isinstance(r, ProbeRecord)] for run in (memory, device)]
    assert names == [[3, COMPOSITE] * 2] * 2
    hashes = [[r.lora_sha256 for r in run if isinstance(r, LoadRecord)] for run in (memory, device)]
    assert hashes[0] == hashes[1]


def test_both_shift_the_labels_logits_alike(
    pair: tuple[TorchDevice, InstalledRunner], tmp_path: Path
) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(
        '{"tokens": [5, 6, 7], "targets": [-100, -100, 9]}\n'
        '{"tokens": [7, 5], "targets": [-100, 8]}\n'
    )
    tasks = [ProbeTask(batch=(0, 1), epsilon=0.05, directions=(3,)), EvaluateTask(batch=(0, 1))]
    plain, shifted = (VerbalizerLoss(tokens=(9, 8, 4), shifts=s) for s in ((), (-1.5, 0.25, 2.0)))

    memory, device = (
        each.run(examples=path, tasks=tasks, loss=shifted, threads=1) for each in pair
    )
    unshifted = pair[1].run(examples=path, tasks=tasks, loss=plain, threads=1)

    assert numbers(memory) == pytest.approx(numbers(device), rel=1e-3, abs=1e-4)
    assert predictions(memory) == predictions(device)
    assert numbers(unshifted) != pytest.approx(numbers(device), rel=1e-2)


def test_both_refuse_alike(pair: tuple[TorchDevice, InstalledRunner], examples: Path) -> None:
    task = AlongTask(batch=(0,), epsilon=0.1, direction="/absent.f32")
    for each in pair:
        with pytest.raises(RunnerFailedError) as caught:
            each.run(examples=examples, tasks=[task], threads=1)
        assert caught.value.phase == "direction"
