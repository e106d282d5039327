"""adb programs and servers that would kill each other are found."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.diagnosis.adb_on_this_machine import (
    adb_programs,
    diagnose_adb,
    parse_version,
)
from android_harness.diagnosis.finding import Finding

pytestmark = pytest.mark.usefixtures("private_home", "clean_environment")


@pytest.fixture
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No adb but those that a test makes, and no server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT", "ADB_SERVER_SOCKET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Something that listens where the adb server would, and always answers the same."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(listener.getsockname()[1]))

    def serve(answer: bytes) -> None:
        while True:
            try:
                host, _ = listener.accept()
            except OSError:
                return
            with host:
                host.recv(100)
                host.sendall(answer)

    threads: list[threading.Thread] = []

    def start(answer: bytes) -> None:
        threads.append(threading.Thread(target=serve, args=(answer,)))
        threads[0].start()

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join()


def adb(folder: Path, protocol: int, release: str = "34.0.5") -> Path:
    folder.mkdir(parents=True)
    program = folder / "adb"
    program.write_text(
        f"#!/bin/sh\necho Android Debug Bridge version 1.0.{protocol}\necho Version {release}\n"
    )
    program.chmod(0o755)
    return program


def finding(check: str) -> Finding:
    return next(finding for finding in diagnose_adb() if finding.check == check)


def test_programs_on_the_path_and_in_the_sdk_are_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = adb(tmp_path / "bin", 41)
    sdk = adb(tmp_path / "sdk" / "platform-tools", 41, "29.0.6")
    monkeypatch.setenv("PATH", f"{own.parent}:{sdk.parent}:{tmp_path / 'absent'}")
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))

    assert [program.path for program in adb_programs()] == [own, sdk]
    assert finding("adb programs") == Finding(
        "adb programs", True, f"{own}: 1.0.41 34.0.5; {sdk}: 1.0.41 29.0.6"
    )


def test_programs_that_kill_each_others_server_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb(tmp_path / "bin", 39)
    adb(tmp_path / "sdk" / "platform-tools", 41)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))

    assert not finding("adb programs").ok
    assert "one adb" in finding("adb programs").remedy


def test_a_machine_without_adb_is_told_what_that_means() -> None:
    found = finding("adb programs")
    assert (found.ok, found.seen) == (True, "none")
    assert "platform-tools" in found.remedy


def test_no_server_is_fine(tmp_path: Path) -> None:
    adb(tmp_path / "bin", 41)
    assert finding("adb server").ok
    assert finding("adb server").seen.startswith("none at 127.0.0.1:")


@pytest.mark.parametrize(("protocol", "ok"), [(41, True), (39, False)])
def test_a_server_of_another_version_is_wrong(
    tmp_path: Path, server: Callable[[bytes], None], protocol: int, ok: bool
) -> None:
    program = adb(tmp_path / "bin", protocol)
    server(b"OKAY00040029")  # 41

    found = finding("adb server")

    assert found.ok == ok
    assert found.seen.startswith("1.0.41 at 127.0.0.1:")
    assert ok or str(program) in found.seen


def test_something_else_that_listens_there_is_wrong(server: Callable[[bytes], None]) -> None:
    server(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    assert not finding("adb server").ok


def test_a_key_that_cannot_be_used_is_noted(home_folder: Path) -> None:
    assert "ask for it once" in finding("adb key").seen
    key = home_folder / ".android" / "adbkey"
    key.parent.mkdir(exist_ok=True)
    key.write_text("no key")
    try:
        assert finding("adb key").ok
        assert str(key) in finding("adb key").remedy
    finally:
        key.unlink()


@given(st.text() | st.text().map(lambda text: f"version 1.0.41{text}\nVersion {text}"))
def test_no_version_is_too_odd(said: str) -> None:
    program = parse_version(said, Path("adb"))
    assert program is None or program.protocol >= 0
