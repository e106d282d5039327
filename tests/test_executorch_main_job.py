"""The main job on ExecuTorch's programs as a user types it, with a fake phone as second device."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from android_harness.fake_phone import FakePhone
from device_bench.profiles.profile import Profile
from exporters.adapter_values import adapter_values
from exporters.gguf.adapter import read_adapter_values
from exporters.manifest import Bundle
from tests.command_line import fwdllm, trusted
from tests.twin_bundles import LONG, SHORT, TwinBundles
from toolkit.demo.corpus import labelled
from toolkit.protocol.exact import values_sha256
from toolkit.training.replay import replay

ROUNDS, PROBES = 2, 12
SWEEP = ("--repetitions", 1, "--blocks", 1, "--minimum-ms", 10, "--warmup-seconds", 0)


@dataclass(frozen=True)
class Job:
    folder: Path
    phone: str
    bundle: Bundle

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def job(
    tmp_path_factory: pytest.TempPathFactory,
    twins: TwinBundles,
    runner_binary: Path,
    executorch_runner_binary: Path,
) -> Iterator[Job]:
    """From the bundle to a finished run, by the commands alone."""
    folder = tmp_path_factory.mktemp("executorch-main-job")
    bundle = twins.executorch.folder
    with (folder / "news.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "topic"), *labelled(60, seed=1)])
    with FakePhone() as phone:
        targets = ("--target", "local", "--target", phone.target)
        fwdllm("push", bundle, *targets)
        samples = fwdllm(
            "bench", bundle, *targets, "--out", folder / "samples", "--batch", f"{SHORT[0]},8",
            "--tokens", f"{SHORT[1]},{LONG[1]}", "--directions", "1,3", "--estimator", "tangent",
            "--profile-ops", *SWEEP,
        )  # fmt: skip
        fwdllm(
            "bench", twins.gguf.folder, "--target", "local", "--out", folder / "samples-gguf",
            "--batch", 2, "--tokens", 8, "--directions", 1, "--estimator", "tangent", *SWEEP,
        )  # fmt: skip
        profiles = []
        for number, row in enumerate(samples):
            profile = folder / f"profile-{number}.json"
            beside = ("--beside", folder / "samples-gguf") if row["target"] == "local" else ()
            fwdllm("profile", row["samples"], "--out", profile, *beside)
            profiles.append(trusted(profile))
        fwdllm(
            "allocate", *profiles, "--probes", PROBES, "--batch", 4, "--tokens", LONG[1],
            "--directions", "1,3", "--estimator", "tangent", "--out", folder / "allocation.json",
        )  # fmt: skip
        fwdllm(
            "train", bundle, "--data", folder / "news.csv", "--text-column", "text",
            "--label-column", "topic", "--template", "{text} topic :", *targets,
            "--allocation", folder / "allocation.json", "--estimator", "tangent",
            "--rounds", ROUNDS, "--probes", PROBES, "--batch", 5, "--held-out", 10,
            "--max-tokens", LONG[1], "--evaluate-every", 1, "--out", folder / "run",
        )  # fmt: skip
        yield Job(folder, phone.target, twins.executorch)


def test_every_device_answered_every_round(job: Job) -> None:
    lines = (job.path("run") / "rounds.jsonl").read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    assert [record["round"] for record in rounds] == list(range(ROUNDS + 1))
    for record in rounds[1:]:
        assert {one["client"] for one in record["measurements"]} == {"local", job.phone}
        assert not record["lost"]
        assert record["evaluation"] is not None


def test_the_replica_is_replayed_bit_for_bit(job: Job) -> None:
    """What the phones added up themselves is what the server's log makes of it."""
    lines = (job.path("run") / "rounds.jsonl").read_text().splitlines()
    assert values_sha256(replay(job.path("run"))) == json.loads(lines[-1])["values_sha256"]


def test_the_run_leaves_adapters_for_others(job: Job) -> None:
    manifest = job.bundle.manifest
    trained = read_adapter_values(
        job.path("run") / "adapter.gguf", manifest.architecture, manifest.lora
    )
    assert trained.shape == (manifest.lora.parameters,)
    assert not np.array_equal(trained, adapter_values(job.bundle))
    assert (job.path("run") / "adapter" / "adapter_model.safetensors").is_file()


def test_both_formats_stand_side_by_side(job: Job) -> None:
    profile = Profile.read(job.path("profile-0.json"))
    assert profile.target == "local"
    assert [backend.backend for backend in profile.shown_backends] == ["xnnpack", "ggml-cpu"]
    assert profile.bundle_sha256 == job.bundle.sha256 != profile.beside[0].bundle_sha256
    for backend in profile.shown_backends:
        (error,) = backend.slope_errors
        assert error.estimator == "tangent" and error.relative_error < 1e-3


def test_operators_have_a_table(job: Job) -> None:
    for folder in job.path("samples").iterdir():
        table = pd.read_parquet(folder / "operators.parquet")
        assert set(table["backend"]) == {"xnnpack"}
        assert {"kernel", "delegate"} <= set(table["place"])
        assert "aten::embedding.out" in set(table["name"])
        assert (table["seconds_per_probe"] > 0).all()
        arms = table.groupby(["batch", "tokens", "directions_per_pass"]).size()
        assert len(arms) == 8


def test_the_report_shows_both_formats(job: Job) -> None:
    report = job.path("report.html")
    fwdllm_report = ("report", job.path("profile-0.json"), job.path("run"), "--out", report)
    from typer.testing import CliRunner

    from toolkit.cli.app import app

    result = CliRunner().invoke(app, list(map(str, fwdllm_report)))
    assert result.exit_code == 0, result.output
    html = report.read_text()
    assert "xnnpack" in html and "ggml-cpu" in html
