"""An encoder classifier from export to a trained adapter, as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from android_harness.fake_phone import FakePhone
from tests.command_line import fwdllm
from tests.exporters.executorch.models import write_encoder
from toolkit.demo.corpus import labelled

pytestmark = pytest.mark.usefixtures("executorch_runner_binary")

CLASSES, ROUNDS = 4, 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "model"
    return write_encoder(folder, "bert", CLASSES, ("the", "game", "market"))


def test_an_encoder_is_benched_and_trained_over_devices(model: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    fwdllm(
        "export", "executorch", model, "--out", bundle, "--quant", "f32", "--sizes", "4x8",
        "--lora-rank", 2, "--slots", 2, "--parity-directions", 2,
    )  # fmt: skip
    with (tmp_path / "news.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "topic"), *labelled(40, seed=1)])
    with FakePhone() as phone:
        targets = ("--target", "local", "--target", phone.target)
        samples = fwdllm(
            "bench", bundle, *targets, "--out", tmp_path / "samples", "--batch", 4,
            "--tokens", 8, "--directions", 2, "--repetitions", 1, "--blocks", 1,
            "--minimum-ms", 10,
        )  # fmt: skip
        assert len(samples) == 2
        fwdllm(
            "train", bundle, *targets, "--data", tmp_path / "news.csv", "--text-column", "text",
            "--label-column", "topic", "--rounds", ROUNDS, "--probes", 4, "--batch", 5,
            "--held-out", 6, "--max-tokens", 8, "--evaluate-every", 1, "--out", tmp_path / "run",
        )  # fmt: skip
    lines = (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    assert len(rounds) == ROUNDS + 1
    for record in rounds[1:]:
        assert not record["lost"]
        assert {one["client"] for one in record["measurements"]} == {"local", phone.target}
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
