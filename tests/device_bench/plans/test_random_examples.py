"""The token sequences that arms are timed on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from device_bench.errors import SweepSettingsError
from device_bench.plans.examples import RandomExamples
from device_bench.plans.sweep_plan import arms_of

ARCHITECTURE = SimpleNamespace(vocabulary_size=300, context_length=64, classes=None)
ARMS = arms_of([1, 4, 2], [64, 8], [1, 2], ["central"])


def written(
    folder: Path,
    loss_positions: str = "last",
    seed: int = 0,
    architecture: SimpleNamespace = ARCHITECTURE,
) -> list[dict]:
    path = folder / "examples.jsonl"
    RandomExamples(ARMS, architecture).write(path, seed=seed, loss_positions=loss_positions)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_arm_gets_its_batch_of_its_length(tmp_path: Path) -> None:
    lines = written(tmp_path)

    for arm in ARMS:
        batch = RandomExamples(ARMS, ARCHITECTURE).lines_of(arm)
        assert len(set(batch)) == arm.batch
        assert {len(lines[index]["tokens"]) for index in batch} == {arm.tokens}
    assert len(lines) == 8


@pytest.mark.parametrize("loss_positions", ["all", "last"])
def test_an_encoders_examples_have_a_class_each(tmp_path: Path, loss_positions: str) -> None:
    encoder = SimpleNamespace(vocabulary_size=300, context_length=64, classes=3)
    for example in written(tmp_path, loss_positions, architecture=encoder):
        first, *others = example["targets"]
        assert 0 <= first < 3 and set(others) == {-100}
        assert len(example["targets"]) == len(example["tokens"])


def test_tokens_and_targets_are_in_the_vocabulary(tmp_path: Path) -> None:
    for example in written(tmp_path, loss_positions="all"):
        assert all(0 <= token < 300 for token in example["tokens"] + example["targets"])
        assert example["targets"][:-1] == example["tokens"][1:]


def test_the_loss_is_at_the_last_position_unless_asked_otherwise(tmp_path: Path) -> None:
    for example in written(tmp_path):
        assert set(example["targets"][:-1]) == {-100}
        assert example["targets"][-1] >= 0


def test_the_seed_decides_the_tokens(tmp_path: Path) -> None:
    assert written(tmp_path, seed=1) == written(tmp_path, seed=1)
    assert written(tmp_path, seed=1) != written(tmp_path, seed=2)


def test_more_tokens_than_the_context_are_refused() -> None:
    arms = arms_of([1], [32, 65], [1], ["central"])

    with pytest.raises(SweepSettingsError, match=r"65 tokens.*context of 64"):
        RandomExamples(arms, ARCHITECTURE)
