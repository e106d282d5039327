"""`fwdllm telemetry` as its users run it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from exporters.errors import FwdllmError
from tests.android_harness.telemetry.sensor_tree import sensor_files
from toolkit.cli.app import app


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the user's keys and cache out of the tests, and the tests out of them."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def phone(private_folders: None) -> Iterator[FakePhone]:
    with FakePhone(files=sensor_files()) as phone:
        yield phone


def test_it_shows_what_there_is_and_what_the_numbers_mean(phone: FakePhone) -> None:
    arguments = ["telemetry", "--target", phone.target, "--seconds", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for shown in ("µA, negative while discharging", "0.912 W", "of a core"):
        assert shown in result.output


def test_scripts_get_one_document_and_the_recording(phone: FakePhone, tmp_path: Path) -> None:
    out = tmp_path / "recordings" / "telemetry.jsonl"
    arguments = ["telemetry", "--target", phone.target, "--seconds", "2", "--json", "--out", out]

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])

    told = json.loads(result.stdout)
    assert told["mean_watts"] == pytest.approx(0.229375 * 3.975)
    assert (told["target"], told["missing"]) == (phone.target, [])
    sensors = {sensor["channel"]: sensor for sensor in told["sensors"]}
    assert sensors["temperature_celsius.BIG"]["max"] == 45.0
    assert sensors["frequency_hertz.policy4"]["source"].endswith("/policy4/scaling_cur_freq")
    table = pd.read_parquet(out.with_suffix(".parquet"))
    assert int(table["voltage_raw.battery"].count()) == sensors["voltage_raw.battery"]["readings"]


def test_this_machine_tells_at_least_its_memory() -> None:
    result = CliRunner().invoke(app, ["telemetry", "--target", "local", "--seconds", "2", "--json"])
    channels = {sensor["channel"] for sensor in json.loads(result.stdout)["sensors"]}
    assert "memory_available_bytes.device" in channels


@pytest.mark.parametrize("option", [("--hertz", "9"), ("--seconds", "0")])
def test_what_no_poller_can_do_is_a_usage_error(option: tuple[str, str]) -> None:
    arguments = ["telemetry", "--target", "local", *option]
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_device_that_is_not_there_is_an_error_with_a_remedy() -> None:
    result = CliRunner().invoke(app, ["telemetry", "--target", "adb-tcp:127.0.0.1:1"])
    assert isinstance(result.exception, FwdllmError) and result.exception.remedy
