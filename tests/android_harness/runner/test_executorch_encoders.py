"""Encoder classifiers on the runner for ExecuTorch's programs: padding, classes, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from android_harness.errors import RunnerFailedError
from android_harness.examples import NO_LOSS, Example, write_examples
from android_harness.job import EvaluateTask, ProbeTask, VerbalizerLoss
from android_harness.records import EvaluationRecord, ProbeRecord
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.local_target import LocalTarget
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.lora.request import LoraRequest
from tests.exporters.executorch.models import random_encoder, write_encoder

pytestmark = pytest.mark.usefixtures("executorch_runner_binary")

SEEDS = (1, 2, 3)
LENGTHS = (6, 3, 1, 5, 2)  # of programs of 2 x 6: every kind of padding


def classified(tokens: list[int], label: int) -> Example:
    """An encoder reads the whole example before it answers; where the label stands is no matter."""
    return Example(tuple(tokens), (label, *[NO_LOSS] * (len(tokens) - 1)))


@pytest.fixture(scope="module")
def model() -> Any:
    """A RoBERTa, whose positions begin after the index of its padding."""
    return random_encoder("roberta")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def runner(here: Path) -> InstalledRunner:
    write_encoder(here / "model", "roberta")
    bundle = export_executorch(
        str(here / "model"),
        here / "bundle",
        lora=LoraRequest(rank=2),
        programs=ProgramRequest(((2, 6),), loss_slots=(2,), tangent_slots=(2,)),
        quantization="f32",
        parity_directions=2,
    )
    return install_runner(LocalTarget(here / "device"), bundle)


def test_losses_and_predictions_are_those_of_transformers(
    runner: InstalledRunner, model: Any, here: Path
) -> None:
    generator = np.random.default_rng(0)
    rows = [
        (generator.integers(3, 40, length).tolist(), int(generator.integers(3)))
        for length in LENGTHS
    ]
    write_examples(here / "examples.jsonl", [classified(*row) for row in rows])
    batch = tuple(range(len(rows)))
    records = runner.run(
        examples=here / "examples.jsonl",
        tasks=[
            EvaluateTask(batch=batch),
            ProbeTask(batch=batch, estimator="tangent", directions=SEEDS),
            ProbeTask(batch=batch, estimator="central", epsilon=3e-3, directions=SEEDS),
        ],
        threads=1,
    )

    with torch.no_grad():
        logits = torch.cat([model(torch.tensor([tokens])).logits for tokens, _ in rows])
    labels = torch.tensor([label for _, label in rows])
    (evaluation,) = (record for record in records if isinstance(record, EvaluationRecord))
    expected = torch.nn.functional.cross_entropy(logits, labels).item()
    assert evaluation.loss == pytest.approx(expected, rel=1e-4)  # a fresh LoRA adds nothing
    assert evaluation.predictions == tuple(logits.argmax(-1).tolist())
    slopes = np.array([r.slope for r in records if isinstance(r, ProbeRecord)]).reshape(2, -1)
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=0.02, atol=1e-3)
    assert np.abs(slopes[0]).max() > 0.01


@pytest.mark.parametrize(
    ("example", "loss", "said"),
    [
        (Example((4, 5), (3, NO_LOSS)), None, "target 3 is not one of the classes"),
        (Example((4, 5), (1, 2)), None, "2 targets, an encoder's example has one"),
        (
            classified([4, 5], 1),
            VerbalizerLoss(tokens=(4, 5)),
            "an encoder chooses among its classes",
        ),
        (classified([3] * 7, 1), None, "an example has 7 tokens"),
    ],
)
def test_what_is_no_example_of_an_encoder_is_refused(
    runner: InstalledRunner, tmp_path: Path, example: Example, loss: Any, said: str
) -> None:
    write_examples(tmp_path / "examples.jsonl", [example])
    with pytest.raises(RunnerFailedError, match=said):
        runner.run(
            examples=tmp_path / "examples.jsonl",
            tasks=[EvaluateTask(batch=(0,))],
            loss=loss,
            threads=1,
        )
