"""`fwdllm fleet`, and who takes what it wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from device_bench.population.phone_classes import phone_classes
from device_bench.profiles.profile_files import read_profiles
from exporters.errors import ContractError, FwdllmError
from tests.toolkit.made_profiles import profile
from toolkit.allocation.contract import Allocation
from toolkit.cli.allocate import MOST_ROWS
from toolkit.cli.app import app


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.json"
    made = profile("adb:BASE", measured=datetime.now(UTC))
    made.model_copy(update={"device": phone_classes()["high-2018"]}).write(path)
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_fleet_is_allocated_and_planned(base: Path, tmp_path: Path) -> None:
    path, allocation = tmp_path / "fleet.jsonl", tmp_path / "allocation.json"
    made = run("fleet", base, "--out", path, "--devices", 120, "--phones", "classes")
    assert made.exit_code == 0, made.output
    assert all(name in made.stdout for name in phone_classes())

    divided = run(
        "allocate", path, "--probes", 5000, "--batch", 4, "--directions", 1, "--out", allocation
    )
    assert divided.exit_code == 0, divided.output
    devices = Allocation.read(allocation).devices
    assert len(devices) == 120 and sum(device.probes for device in devices) == 5000
    assert {device.seconds_per_probe.provenance for device in devices} == {"modelled"}
    assert f"{120 - MOST_ROWS} more" in divided.stdout

    planned = run("plan", path, "--json")
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["devices"] == 120


def test_recorded_phones_make_a_fleet(base: Path, tmp_path: Path, shared_data: Path) -> None:
    folder, path = tmp_path / "phones", tmp_path / "fleet.jsonl"
    folder.mkdir()
    for name in ("pixel-8", "galaxy-j5"):
        recording = shared_data / "phones" / "proc_sys" / f"{name}.json"
        (folder / recording.name).write_bytes(recording.read_bytes())
    made = run(
        "fleet", base, "--out", path, "--devices", 4, "--phones", folder, "--spread", 0, "--json"
    )

    assert made.exit_code == 0, made.output
    old, new = json.loads(made.stdout)["kinds"]
    assert (old["kind"], new["kind"]) == ("galaxy-j5", "pixel-8")
    assert old["compute_factor"] > 10 * new["compute_factor"]
    assert [each.target for each in read_profiles(path)] == [
        *("galaxy-j5-1", "pixel-8-2", "galaxy-j5-3", "pixel-8-4")
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--phones", "nowhere"), "no recordings of phones"),
        (("--out", "fleet.json"), "JSON Lines"),
    ],
)
def test_what_cannot_be_made_is_refused(
    base: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = run("fleet", base, "--out", tmp_path / "fleet.jsonl", *options)

    assert isinstance(result.exception, FwdllmError) and said in str(result.exception)


def test_factors_that_make_no_sense_are_refused(base: Path, tmp_path: Path) -> None:
    for text in ("2,1", "0.5,1", "a,b", "1"):
        result = run("fleet", base, "--out", tmp_path / "fleet.jsonl", "--sustained", text)
        assert result.exit_code == 2 and "two factors" in result.output


def test_hosts_devices_are_named_in_many_profiles_too(base: Path, tmp_path: Path) -> None:
    path, allocation = tmp_path / "fleet.jsonl", tmp_path / "allocation.json"
    run("fleet", base, "--out", path, "--devices", 2)
    divided = run("allocate", f"lab={path}", "--probes", 9, "--directions", 1, "--out", allocation)

    assert divided.exit_code == 0, divided.output
    assert {device.target for device in Allocation.read(allocation).devices} == {
        "lab/adb:BASE-1",
        "lab/adb:BASE-2",
    }


def test_a_recording_that_is_none_is_refused(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "phones"
    folder.mkdir()
    (folder / "phone.json").write_text("[]")
    result = run("fleet", base, "--out", tmp_path / "fleet.jsonl", "--phones", folder)
    assert isinstance(result.exception, ContractError)
