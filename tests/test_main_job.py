"""The whole main job as a user types it, with a fake phone that speaks ADB as second device."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from android_harness.job import EvaluateTask
from android_harness.records import EvaluationRecord
from android_harness.runs.installed_runner import install_runner
from android_harness.targets.local_target import LocalTarget
from exporters.gguf.adapter import read_adapter_values
from exporters.gguf.llama_engine import LlamaEngine
from exporters.manifest import Bundle
from tests.command_line import fwdllm, trusted
from tests.exporters.models import random_llama
from toolkit.cli.app import app
from toolkit.demo.corpus import labelled
from toolkit.protocol.exact import values_sha256
from toolkit.training.replay import replay

ROUNDS, PROBES = 3, 12


@dataclass(frozen=True)
class Job:
    folder: Path
    phone: str

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, runner_binary: Path) -> Iterator[Job]:
    """Everything up to a finished run, by the commands alone."""
    folder = tmp_path_factory.mktemp("main-job")
    random_llama(folder / "model")
    with (folder / "news.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "topic"), *labelled(80, seed=1)])
    with FakePhone() as phone:
        targets = ("--target", "local", "--target", phone.target)
        bundle = folder / "bundle"
        fwdllm(
            "export", "gguf", folder / "model", "--out", bundle,
            "--quant", "f32", "--lora-rank", 2, "--parity-directions", 2,
        )  # fmt: skip
        fwdllm("push", bundle, *targets)
        sweep = ("--batch", 2, "--tokens", "4,8", "--directions", "1,2", "--estimator", "central")
        samples = fwdllm(
            "bench", bundle, *targets, "--out", folder / "samples", *sweep,
            "--repetitions", 2, "--blocks", 2, "--minimum-ms", 30,
        )  # fmt: skip
        profiles = []
        for number, row in enumerate(samples):
            profile = folder / f"profile-{number}.json"
            fwdllm("profile", row["samples"], "--out", profile)
            profiles.append(trusted(profile))
        fwdllm(
            "allocate", *profiles, "--probes", PROBES, "--batch", 2, "--tokens", 8,
            "--directions", "1,2", "--out", folder / "allocation.json",
        )  # fmt: skip
        fwdllm(
            "train", bundle, "--data", folder / "news.csv", "--text-column", "text",
            "--label-column", "topic", "--template", "{text} topic :", *targets,
            "--rounds", ROUNDS, "--probes", PROBES, "--batch", 4, "--held-out", 16,
            "--max-tokens", 24, "--evaluate-every", 1, "--out", folder / "run",
        )  # fmt: skip
        yield Job(folder, phone.target)


def test_every_device_answered_every_round(job: Job) -> None:
    lines = (job.path("run") / "rounds.jsonl").read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    assert [record["round"] for record in rounds] == list(range(ROUNDS + 1))
    for record in rounds[1:]:
        assert record["probes"] == PROBES
        assert {one["client"] for one in record["measurements"]} == {"local", job.phone}
        assert not record["lost"]
        # Four bytes a slope, and some that say which order they answer.
        assert 4 * PROBES < record["bytes_up"] < 4 * PROBES + 200


def test_the_allocation_covers_all_probes(job: Job) -> None:
    allocation = json.loads(job.path("allocation.json").read_text())
    assert sum(device["probes"] for device in allocation["devices"]) == PROBES
    assert allocation["makespan_s"] >= allocation["lower_bound_s"] > 0


def test_replay_gives_the_same_bits(job: Job) -> None:
    lines = (job.path("run") / "rounds.jsonl").read_text().splitlines()
    assert values_sha256(replay(job.path("run"))) == json.loads(lines[-1])["values_sha256"]


def test_the_trained_adapter_means_the_same_everywhere(job: Job) -> None:
    """Runner, PEFT and llama.cpp, each with the adapter file made for it, agree on the loss."""
    bundle = Bundle(job.path("bundle"))
    manifest = bundle.manifest
    sequence = np.arange(3, 20)[None, :]
    values = read_adapter_values(
        job.path("run") / "adapter.gguf", manifest.architecture, manifest.lora
    )
    initial = read_adapter_values(bundle.adapter, manifest.architecture, manifest.lora)
    assert not np.array_equal(values, initial)

    runner = install_runner(LocalTarget(job.path("device")), bundle)
    raw = job.path("values.f32")
    raw.write_bytes(values.astype("<f4").tobytes())
    example = job.path("example.jsonl")
    row = {"tokens": sequence[0, :-1].tolist(), "targets": sequence[0, 1:].tolist()}
    example.write_text(json.dumps(row) + "\n")
    records = runner.run(
        examples=example,
        tasks=[EvaluateTask(batch=(0,))],
        threads=1,
        lora_values=runner.place(raw),
    )
    loss = next(record.loss for record in records if isinstance(record, EvaluationRecord))

    base = AutoModelForCausalLM.from_pretrained(job.path("model"), dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(job.path("run") / "adapter")).eval()
    tokens = torch.from_numpy(sequence)
    with torch.no_grad():
        logits = model(input_ids=tokens[:, :-1]).logits[0]
        in_peft = float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:]))
    assert in_peft == pytest.approx(loss, rel=1e-4)

    with (
        LlamaEngine(bundle.base, tokens=sequence.shape[1] - 1) as engine,
        engine.adapter(job.path("run") / "adapter.gguf"),
    ):
        assert engine.loss(sequence) == pytest.approx(loss, rel=1e-4)


def test_the_report_shows_everything(job: Job) -> None:
    paths = [
        job.path(name)
        for name in ("bundle", "profile-0.json", "profile-1.json", "allocation.json", "run")
    ]
    samples = sorted(job.path("samples").iterdir())
    report = job.path("report.html")
    arguments = [str(path) for path in (*paths, *samples)]
    result = CliRunner().invoke(app, ["report", *arguments, "--out", str(report)])
    assert result.exit_code == 0, result.output
    html = report.read_text()
    things = re.findall(r'<section id="([a-z]+)[^"]*"[^>]* class="level-3"', html)
    assert sorted(things) == ["allocation", "bundle", "device", "device", "run"]
    assert "<svg" in html and job.phone in html
