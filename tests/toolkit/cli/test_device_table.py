"""`fwdllm devices` against a fake phone that serves a recorded one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from toolkit.cli.app import app

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  present: true
  level: 20
  scale: 100
  voltage: 3975
  temperature: 347
"""


@pytest.fixture
def phone(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakePhone]:
    monkeypatch.setenv("HOME", str(tmp_path))
    recorded = json.loads((shared_data / "phones/proc_sys/pixel-8.json").read_text())
    dumpsys = f"#!/bin/sh\n[ $1 = battery ] && cat <<'END'\n{BATTERY}END\n"
    with FakePhone(
        props={**recorded["props"], "ro.product.model": "Pixel [8]"},
        files=recorded["files"],
        scripts={"dumpsys": dumpsys},
    ) as phone:
        yield phone


def test_people_see_what_it_is_and_why_not_to_measure(
    phone: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(app, ["devices", "--target", phone.target])

    assert result.exit_code == 0, result.output
    for shown in (
        "Google Pixel [8]",
        "Google Tensor G3",
        "Cortex-X3",
        "asimddp",
        "20 %, charging, plugged into usb, 34.7 °C",
        "no signs seen",
        "--threads 5 --cores fastest, which are 0x1f0",
        "LOW-BATTERY",
        "spoils energy",
        "memory       │ unknown",
    ):
        assert shown in result.stdout


def test_scripts_get_everything_with_its_source(phone: FakePhone) -> None:
    result = CliRunner().invoke(app, ["devices", "--json", "--target", phone.target])

    document = json.loads(result.stdout)[phone.target]
    assert document["soc"] == "Google Tensor G3"
    assert document["sources"]["soc"] == "getprop ro.board.platform"
    assert document["clusters"][2]["cores"] == [8]
    assert document["clusters"][2]["sources"]["micro_architecture"] == "/proc/cpuinfo"
    assert document["fastest_cores_mask"] == "0x1f0"
    assert document["status"]["battery"]["level_percent"] == 20
    assert document["memory_total_bytes"] is None
    assert [reason["code"] for reason in document["unfit"]] == [
        "LOW-BATTERY",
        "PLUGGED",
        "THERMAL-UNKNOWN",
        "SCREEN-UNKNOWN",
    ]
