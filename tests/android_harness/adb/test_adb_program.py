"""The adb program itself takes the fake phone for a device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from android_harness.fake_phone import FakePhone
from tests.android_harness.adb.adb_program import AdbProgram


@pytest.fixture(scope="module")
def serial(adb: AdbProgram) -> Iterator[str]:
    with FakePhone(known_keys=(), accept_new_keys=True) as phone:
        serial = f"127.0.0.1:{phone.port}"
        adb("connect", serial)
        adb("-s", serial, "wait-for-device")
        yield serial
        adb("disconnect", serial)


def test_it_is_listed_as_a_device(adb: AdbProgram, serial: str) -> None:
    line = next(
        line for line in adb("devices", "-l").stdout.decode().splitlines() if serial in line
    )
    assert "device" in line.split()
    assert "model:Fake_Phone" in line


def test_commands_have_exit_codes_and_two_outputs(adb: AdbProgram, serial: str) -> None:
    result = adb("-s", serial, "shell", "echo out; echo err >&2; exit 7")
    assert (result.returncode, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_commands_read_input(adb: AdbProgram, serial: str) -> None:
    assert adb("-s", serial, "shell", "cat", input=b"through").stdout == b"through"
    assert adb("-s", serial, "exec-out", "printf raw").stdout == b"raw"


def test_files_travel_both_ways(adb: AdbProgram, serial: str, tmp_path: Path) -> None:
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(os.urandom(3_000_000))

    pushed = adb("-s", serial, "push", str(local), "/data/local/tmp/folder/file")
    assert pushed.returncode == 0, pushed.stderr
    pulled = adb("-s", serial, "pull", "/data/local/tmp/folder/file", str(back))
    assert pulled.returncode == 0, pulled.stderr

    assert back.read_bytes() == local.read_bytes()
    assert b"file" in adb("-s", serial, "ls", "/data/local/tmp/folder").stdout


def test_properties_are_those_of_a_phone(adb: AdbProgram, serial: str) -> None:
    assert adb("-s", serial, "shell", "getprop ro.product.model").stdout == b"Fake Phone\n"
    assert b"[ro.product.model]: [Fake Phone]\n" in adb("-s", serial, "shell", "getprop").stdout
