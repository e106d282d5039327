"""`fwdllm push`, `clean` and `doctor`: what they say, ask and leave."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from android_harness.building.recipe import native_recipe
from android_harness.errors import DeviceInUseError
from android_harness.fake_phone import FakePhone
from exporters.durable_files import sha256_of
from exporters.manifest import Bundle
from tests.command_line import fwdllm
from toolkit.cli.app import app


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePhone]:
    """A phone, and a machine with a runner for it and wide tables."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "250")
    runner = native_recipe().path
    runner.parent.mkdir(parents=True)
    runner.write_bytes(b"\0" * 1_000_000)
    with FakePhone() as phone:
        yield phone


def workspace(phone: FakePhone) -> Path:
    return Path(phone.root.environment()["FWDLLM_WORKSPACE"])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_push_says_what_it_sent_and_what_was_there(phone: FakePhone, bundle: Bundle) -> None:
    command = ("push", str(bundle.folder), "--target", phone.target)
    (first,) = fwdllm(*command)
    (second,) = fwdllm(*command)

    assert first["bytes_there_before"] == second["bytes_sent"] == 0
    assert first["bytes_sent"] == second["bytes_there_before"] == phone.traffic.pushed_bytes
    assert "0.0 MB sent" in run(*command).stdout


def test_without_a_choice_clean_only_shows(phone: FakePhone, bundle: Bundle) -> None:
    run("push", str(bundle.folder), "--target", phone.target)

    shown = run("clean", "--target", phone.target)

    assert shown.exit_code == 0
    assert bundle.base.name in shown.stdout
    assert "entries in" in shown.stdout
    assert any((workspace(phone) / "store").iterdir())


def test_what_goes_is_shown_and_goes_with_yes_alone(phone: FakePhone) -> None:
    old = workspace(phone) / "store" / "abc" / "model.gguf"
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(100_000))
    os.utime(old.parent, (time.time() - 10 * 86400,) * 2)
    command = ("clean", "--target", phone.target, "--unused-days", "7")

    asked = run(*command)
    assert asked.exit_code == 1  # nobody is there to agree
    assert "goes" in asked.stdout and old.exists()
    assert not fwdllm(*command)["removed"] and old.exists()
    removed = run(*command, "--yes")

    assert removed.exit_code == 0
    assert "removed 0.1 MB in 1 entries" in removed.stdout
    assert not old.exists()


def test_the_files_of_a_kept_bundle_stay(phone: FakePhone, bundle: Bundle) -> None:
    run("push", str(bundle.folder), "--target", phone.target)
    other = workspace(phone) / "store" / "abc" / "model.gguf"
    other.parent.mkdir(parents=True)
    other.touch()

    fwdllm("clean", "--target", phone.target, "--all", "--keep", bundle.folder, "--yes")

    left = {path.name for path in (workspace(phone) / "store").iterdir()}
    assert left == {sha256_of(bundle.base), sha256_of(bundle.adapter)}


def test_a_device_in_use_is_not_cleaned(phone: FakePhone) -> None:
    for path in ("store/abc/model.gguf", "runs/r1/pid"):
        (workspace(phone) / path).parent.mkdir(parents=True)
        (workspace(phone) / path).write_text(str(os.getpid()))

    refused = run("clean", "--target", phone.target, "--all", "--yes")

    assert isinstance(refused.exception, DeviceInUseError)
    assert (workspace(phone) / "store" / "abc").exists()


def test_clean_takes_one_choice(phone: FakePhone) -> None:
    both = run("clean", "--target", phone.target, "--all", "--unused-days", "3")
    assert both.exit_code == 2 and "exclude each other" in both.output


def test_doctor_is_content_with_a_device_that_works(phone: FakePhone) -> None:
    findings = json.loads(run("doctor", "--target", phone.target, "--json").stdout)

    device = [finding for finding in findings if finding["check"].startswith(phone.target)]
    assert len(device) > 5
    assert all(finding["ok"] for finding in device)


def test_doctor_ends_with_1_when_a_device_does_not_answer(phone: FakePhone) -> None:
    shown = run("doctor", "--target", "adb-tcp:127.0.0.1:1")

    assert shown.exit_code == 1
    assert "adb-tcp:127.0.0.1:1: reachable" in shown.stdout
    assert "check the cable or network" in shown.stdout
