"""What the commands do with bad input: a message with a remedy and an exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters.errors import FwdllmError
from toolkit.cli.app import app


def refused(*arguments: object) -> FwdllmError:
    """The expected failure that a command ends in."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, FwdllmError), result.output
    return result.exception


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    error = refused("push", tmp_path / "absent", "--target", "local")
    assert "manifest" in str(error) and str(tmp_path / "absent") in str(error)


def test_a_bad_target_names_the_forms(tmp_path: Path) -> None:
    assert "adb-tcp:HOST:PORT" in str(refused("devices", "--target", "usb:1"))


def test_a_model_that_does_not_exist_is_named(tmp_path: Path) -> None:
    error = refused("export", "gguf", tmp_path / "absent.gguf", "--out", tmp_path / "bundle")
    assert error.file == tmp_path / "absent.gguf"
    assert not (tmp_path / "bundle").exists()


def test_a_report_on_a_foreign_file_says_what_it_takes(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.json"
    foreign.write_text("[]")
    error = refused("report", foreign, "--out", tmp_path / "report.html")
    assert error.file == foreign and "fwdllm" in error.remedy


def test_an_old_profile_is_refused_with_its_fields(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"schema_version": 1, "target": "local"}')
    error = refused("allocate", profile, "--probes", 4, "--out", tmp_path / "allocation.json")
    assert "capability profile" in str(error) and error.file == profile


@pytest.mark.parametrize(
    "option",
    [
        ("--batch", "0"),
        ("--tokens", "x"),
        ("--directions", ""),
        ("--estimator", ","),
        ("--layers", "all,"),
    ],
)
def test_malformed_lists_are_usage_errors(tmp_path: Path, option: tuple[str, str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    arguments = ["bench", str(tmp_path), "--target", "local", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, [*arguments, *option]).exit_code == 2


def test_the_process_prints_message_and_remedy_and_exits_with_1(tmp_path: Path) -> None:
    arguments = ["devices", "--target", "adb-tcp:127.0.0.1:1"]
    run = subprocess.run(
        [sys.executable, "-c", "from toolkit.cli.app import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "error:" in run.stderr and "remedy:" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_demo_leaves_foreign_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "something other" in str(refused("demo", "--out", tmp_path))
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_a_saved_adapter_excludes_the_settings_of_a_fresh_one(tmp_path: Path) -> None:
    arguments = ["export", "gguf", "model", "--out", str(tmp_path / "bundle")]
    result = CliRunner().invoke(app, [*arguments, "--lora", "peft", "--lora-rank", "4"])
    assert result.exit_code == 2 and "--lora-rank" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["report", "absent", "--out", "/proc/report.html"],
        ["profile", "absent", "--out", "profile.json"],
        [
            "train",
            "absent",
            "--data",
            "x.csv",
            "--text-column",
            "0",
            "--target",
            "local",
            "--rounds",
            "1",
            "--out",
            "run",
            "--update",
            "trust-ratio:ratio=0.1",
        ],
    ],
)
def test_no_bad_input_ends_in_a_traceback(tmp_path: Path, command: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from toolkit.cli.app import main; main()", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 1
    assert "error:" in run.stderr and "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--update", "adam"), "trust_ratio"),
        (("--update", "sgd:rate=-1"), "rate"),
        (("--pacing", "slope-test:tau=1"), "tau"),
        (("--sampling", "tensor-filter:candidates"), "field=value"),
    ],
)
def test_a_rule_that_does_not_exist_is_a_usage_error(
    tmp_path: Path, option: tuple[str, str], said: str
) -> None:
    """Before anything is read: these are typing errors."""
    arguments = ["train", str(tmp_path), "--data", "x.csv", "--text-column", "0"]
    arguments += ["--target", "local", "--rounds", "1", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, *option])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("fleet", "option"),
    [
        (("--target", "local"), ("--head", "adam")),
        (("--superlink", "link"), ("--partition", "dirichlet:0.5")),
        (("--simulate", "4"), ("--allocation", "allocation.json")),
        (("--target", "local", "--simulate", "4"), ()),
    ],
)
def test_options_that_a_fleet_would_ignore_are_usage_errors(
    tmp_path: Path, fleet: tuple[str, ...], option: tuple[str, ...]
) -> None:
    arguments = ["train", str(tmp_path), "--data", "x.csv", "--text-column", "0", *fleet]
    arguments += ["--rounds", "1", "--out", str(tmp_path / "run"), *option]
    assert CliRunner().invoke(app, arguments).exit_code == 2
