"""`fwdllm bench --plan`: a file of what to measure, several bundles at once, and dry runs."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from android_harness.fake_phone.android_programs import android_programs
from android_harness.state.held_settings import SETTINGS_NAME
from android_harness.telemetry.records import TELEMETRY_NAME
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import read_measurements
from exporters.errors import ContractError, FwdllmError
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from tests.exporters.models import random_llama
from toolkit.cli.app import app

PLAN = """
bundles: [one, two]
batch: [1]
tokens: [8]
directions: [1, 2]
estimator: [tangent]
threads: [1, cores]
cores: ["0x1", prime]
blocks: 2
most_blocks: 2
warmup_seconds: 0
repetitions: 1
minimum_ms: 0
"""
ARMS, BLOCKS = 2, 2  # one thread on core 0; no machine here has a prime core


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan beside its two bundles."""
    folder = tmp_path_factory.mktemp("plan")
    model = random_llama(folder / "model", num_hidden_layers=2)
    for name, rank in (("one", 1), ("two", 2)):
        export_gguf(
            str(model),
            folder / name,
            quantization="f32",
            lora=LoraRequest(rank=rank),
            parity_directions=0,
        )
    (folder / "plan.yaml").write_text(PLAN)
    return folder / "plan.yaml"


def bench(target: str, out: Path, *options: object) -> Any:
    arguments = ["bench", "--target", target, "--out", str(out), *map(str, options)]
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("runner_binary")
def test_bundles_take_turns_into_folders_of_their_own(plan: Path, tmp_path: Path) -> None:
    with FakePhone(scripts=android_programs()) as phone:
        result = bench(phone.target, tmp_path, "--plan", plan)

    assert result.exit_code == 0, result.output
    assert "left out, cores prime: the device tells of none" in result.stderr
    assert "8 jobs left: more than 0:00" in result.stderr
    story = []
    for name in ("one", "two"):
        assert f"samples of {phone.target}: {tmp_path / name}" in result.stdout.replace("\n", "")
        sweep = Sweep.read(tmp_path / name / "sweep.json")
        assert {arm.placement for arm in sweep.plan.arms} == {(1, "0x1")}
        assert len(sweep.plan.arms) == ARMS and sweep.finished_at is not None
        jobs = read_measurements(tmp_path / name / "samples.jsonl")
        assert all(job.cpu_mask == "0x1" for job in jobs)
        story += [(job.measured_at, name, job.slot.block) for job in jobs]
        # Each can be read without the other.
        assert {SETTINGS_NAME, TELEMETRY_NAME} <= {
            path.name for path in (tmp_path / name).iterdir()
        }
    for block, jobs in groupby(sorted(story), key=lambda job: job[2]):
        names = [name for _, name, _ in jobs]
        assert sorted(names) == ["one"] * ARMS + ["two"] * ARMS, block


@pytest.mark.usefixtures("runner_binary")
def test_options_replace_the_fields_of_the_file(plan: Path, tmp_path: Path) -> None:
    folder = plan.parent / "two"
    options = ("--plan", plan, "--directions", 1, "--cores", "any", "--threads", 1, "--blocks", 1)
    result = bench("local", tmp_path, folder, *options)

    assert result.exit_code == 0, result.output
    sweep = Sweep.read(tmp_path / "sweep.json")  # one bundle: no folder of its own
    assert [(arm.directions_per_pass, arm.placement) for arm in sweep.plan.arms] == [(1, (1, None))]
    assert (sweep.plan.blocks, sweep.plan.most_blocks) == (1, 2)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(plan: Path, tmp_path: Path) -> None:
    with FakePhone() as phone:
        result = bench(phone.target, tmp_path / "out", "--plan", plan, "--dry-run")
        as_json = bench(phone.target, tmp_path / "out", "--plan", plan, "--dry-run", "--json")
        assert phone.traffic.pushed_bytes == 0

    assert result.exit_code == 0, result.output
    assert "8 jobs left" in result.stdout and "1 thread on 0x1" in result.stdout
    assert "left out, cores prime" in result.stderr
    (run,) = json.loads(as_json.stdout)
    assert [(arm["part"], arm["directions_per_pass"]) for arm in run["arms"]] == [
        ("one", 1),
        ("one", 2),
        ("two", 1),
        ("two", 2),
    ]
    assert sorted(run["first_block"]) == [0, 1, 2, 3]
    assert (run["jobs_left"], run["modelled_seconds_left"]) == ([8, 8], None)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("runner_binary")
def test_an_earlier_profile_tells_how_long_it_takes(plan: Path, tmp_path: Path) -> None:
    bundle = plan.parent / "one"
    options = ("--plan", plan, "--cores", "any", "--threads", 1)
    assert bench("local", tmp_path / "samples", bundle, *options).exit_code == 0
    profile = tmp_path / "profile.json"
    fitted = CliRunner().invoke(app, ["profile", str(tmp_path / "samples"), "--out", str(profile)])
    assert fitted.exit_code == 0, fitted.output

    again = ("--minimum-ms", 60_000, "--profile", profile, "--dry-run")
    known = bench("local", tmp_path / "other", bundle, *options, *again)
    unknown = bench("local", tmp_path / "other", plan.parent / "two", *options, *again)

    hot = bench("local", tmp_path / "other", bundle, *options, *again, "--sustained-minutes", 10)

    assert "4 jobs left: 4:00 (modelled)" in known.stdout
    assert "4 jobs left: 15:00 (modelled)" in hot.stdout
    assert "more than 4:00 (--minimum-ms)" in unknown.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("plan_text", "options", "error", "said"),
    [
        ("bundels: [one]", (), ContractError, "field bundels, which is not known"),
        ("batch: [1]", (), FwdllmError, "no bundle is given"),
        ("bundles: [nowhere]", (), ContractError, "cannot read"),
        ("backends: [gpu]\nbundles: [one]", (), FwdllmError, "no device is called gpu"),
        ("bundles: [one]", ("--precision", "0"), FwdllmError, "precision = 0.0"),
        ("bundles: [one]", ("--tokens", "99999"), FwdllmError, "do not fit the model's context"),
        ("bundles: [one, two]\nprofile_operators: true", (), FwdllmError, "operators take"),
        (
            "bundles: [one]\nsustained_minutes: 1",
            ("--sustained-arm", "9,9,9"),
            FwdllmError,
            "no arm of the sweep is '9,9,9'",
        ),
        ("bundles: [one]", ("--sustained-arm", "1,32,1"), FwdllmError, "runs nothing"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_plan_that_cannot_be_is_refused_before_anything_is_done(
    plan: Path,
    tmp_path: Path,
    plan_text: str,
    options: tuple[str, ...],
    error: type,
    said: str,
    more: tuple[str, ...],
) -> None:
    other = plan.parent / "other.yaml"
    other.write_text(plan_text)

    result = bench("local", tmp_path / "out", "--plan", other, *options, *more)

    assert isinstance(result.exception, error) and said in str(result.exception)
    assert not (tmp_path / "out").exists()
