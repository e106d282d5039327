"""`fwdllm devices`: what is listed, what is followed, and for scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from tests.android_harness.adb.fake_adb_server import FakeAdbServer
from toolkit.cli.app import app


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeAdbServer]:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("FWDLLM_CACHE", str(home / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    with FakeAdbServer() as server:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{server.port}")
        yield server


def test_what_is_found_is_listed_with_what_to_do(server: FakeAdbServer) -> None:
    with FakePhone() as phone:
        server.plug_in("ONE", phone)
        server.plug_in("LOCKED", phone, "unauthorized")
        shown = CliRunner().invoke(app, ["devices"])
        listed = CliRunner().invoke(app, ["devices", "--json"])

    assert shown.exit_code == listed.exit_code == 0
    assert "adb:ONE" in shown.stdout and "Fake Phone" in shown.stdout
    assert "accept the USB debugging prompt" in shown.stdout
    local, one, locked = json.loads(listed.stdout)
    assert (local["target"], local["state"], one["target"]) == ("local", "device", "adb:ONE")
    assert (one["model"], one["remedy"]) == ("Fake_Phone", "")
    assert (locked["state"], locked["reason"]) == ("unauthorized", "unauthorized")


def test_all_devices_are_inspected(server: FakeAdbServer) -> None:
    with FakePhone() as phone:
        server.plug_in("ONE", phone)
        shown = CliRunner().invoke(app, ["devices", "--target", "all", "--json"])
        phone.switch_off()

    assert json.loads(shown.stdout).keys() == {"adb:ONE"}


def test_devices_are_followed_until_ctrl_c(server: FakeAdbServer, tmp_path: Path) -> None:
    with FakePhone() as phone:
        command = "from toolkit.cli.app import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", command, "devices", "--watch", "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        server.plug_in("ONE", phone)
        came = json.loads(process.stdout.readline())
        server.unplug("ONE")
        went = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0

    assert (came["target"], came["state"]) == ("adb:ONE", "device")
    assert (went["target"], went["state"]) == ("adb:ONE", "absent")
    assert came["time"] <= went["time"]


def test_following_takes_no_target() -> None:
    result = CliRunner().invoke(app, ["devices", "--watch", "--target", "local"])
    assert result.exit_code == 2 and "no --target" in result.output
