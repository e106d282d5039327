"""A user's own comparison: a run, a baseline over the same clients, and what both would cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_profiles import profile
from typer.testing import CliRunner

from exporters.errors import FwdllmError
from exporters.manifest import Bundle
from toolkit.backprop.baseline import BaselineRun
from toolkit.cli.app import app
from toolkit.plan.contract import Plan
from toolkit.plan.convergence import read_convergence


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def training(bundle: Bundle, table: Path, out: Path, *more: object) -> Any:
    data = ["--data", table, "--text-column", "title,text", "--label-column", "label"]
    size = ["--simulate", 2, "--batch", 4, "--held-out", 8, "--max-tokens", 24]
    return call("train", bundle.folder, *data, *size, "--evaluate-every", 1, "--out", out, *more)


def test_a_run_and_a_baseline_become_a_plan(bundle: Bundle, table: Path, tmp_path: Path) -> None:
    ours = training(bundle, table, tmp_path / "ours", "--rounds", 2, "--probes", 8)
    assert ours.exit_code == 0, ours.output
    baseline = ["--baseline", "fedsgd", "--rate", 0.05, "--rounds", 12, "--json"]
    done = training(bundle, table, tmp_path / "bp", *baseline)
    assert done.exit_code == 0, done.output
    run = BaselineRun.read(tmp_path / "bp" / "baseline.json")
    assert json.loads(done.stdout)["rounds"][12]["round"] == run.rounds[12].round == 12
    assert run.rounds[-1].evaluation is not None and run.rounds[0].evaluation is not None
    assert run.rounds[-1].evaluation.loss < run.rounds[0].evaluation.loss
    assert (tmp_path / "bp" / "values.f32").stat().st_size == 4 * bundle.manifest.lora.parameters

    accuracy = run.rounds[-1].evaluation.accuracy
    table_path = tmp_path / "table.json"
    named = [f"ours={tmp_path / 'ours'}", tmp_path / "bp"]
    made = call("convergence", *named, "--target-accuracy", accuracy, "--out", table_path)
    assert made.exit_code == 0, made.output
    forward, backward = read_convergence(table_path).rows
    assert (forward.method, backward.method) == ("ours", "bp")
    assert (forward.probes, forward.bp_steps, forward.clients) == (16, 0, 2)
    assert backward.reached and backward.bp_steps == 2 * backward.rounds
    assert forward.tokens == backward.tokens == run.mean_tokens

    device = tmp_path / "device.json"
    profile("local", bundle=bundle.sha256, measured=datetime.now(UTC)).write(device)
    plan = call("plan", device, "--convergence", table_path, "--bundle", bundle.folder, "--json")
    assert plan.exit_code == 0, plan.output
    assert [one.method for one in Plan.model_validate_json(plan.stdout).methods] == ["ours", "bp"]

    again = training(bundle, table, tmp_path / "bp", *baseline)
    assert isinstance(again.exception, FwdllmError)
    assert "not empty" in again.exception.message


def test_a_run_without_accuracy_is_no_row(bundle: Bundle, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert training(bundle, table, out, "--rounds", 1, "--held-out", 0).exit_code == 0
    wanted = ["--target-accuracy", 0.5, "--out", tmp_path / "table.json"]
    made = call("convergence", out, *wanted, "--tokens", 9)
    assert isinstance(made.exception, FwdllmError)
    assert "no accuracy" in made.exception.message
    untold = call("convergence", out, *wanted)
    assert isinstance(untold.exception, FwdllmError)
    assert "not known" in untold.exception.message


@pytest.mark.parametrize(
    "options",
    [
        ("--target", "local", "--baseline", "fedavg"),
        ("--simulate", "2", "--baseline", "fedavg", "--update", "sgd"),
    ],
)
def test_what_a_baseline_would_ignore_is_a_usage_error(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    arguments = ["train", tmp_path, "--data", "x.csv", "--text-column", "0", "--rounds", 1]
    assert call(*arguments, "--out", tmp_path / "run", *options).exit_code == 2
