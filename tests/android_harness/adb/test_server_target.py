"""A phone behind the adb server, both the fake one and Debian's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from android_harness.errors import (
    CommandFailedError,
    DeviceGoneError,
    NoSpaceError,
    PermissionDeniedError,
    ServiceRefusedError,
    TransferError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.target import APPEND_BLOCK_BYTES, Target
from android_harness.targets.discover import expand_targets, found_devices
from android_harness.targets.open_target import open_target
from tests.android_harness.adb.adb_program import AdbProgram
from tests.android_harness.adb.conftest import ServedPhone
from tests.android_harness.waiting import PATIENT


@pytest.fixture
def target(served: ServedPhone) -> Iterator[Target]:
    with open_target(served.target, timeouts=PATIENT) as target:
        yield target


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20) * 6)
    return path


def test_it_is_found_and_named(served: ServedPhone, target: Target) -> None:
    found = {device.spec: device for device in found_devices()}[served.target]

    assert (found.state, found.model, found.usable) == ("device", "Fake_Phone", True)
    assert served.target in expand_targets(["all", "local", served.target])
    assert (target.name, target.state()) == (served.target, "device")


def test_commands_have_exit_codes_and_two_outputs(target: Target) -> None:
    result = target.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
    assert target.run(["sh", "-c", "kill -9 $$"]).exit_code == 137
    assert len(target.run(["head", "-c", "3000000", "/dev/zero"]).stdout) == 3_000_000


def test_files_travel_both_ways(target: Target, file: Path, tmp_path: Path) -> None:
    pushed, appended, back = target.workspace / "one", target.workspace / "two", tmp_path / "back"
    seen: list[int] = []

    target.push(file, pushed, progress=seen.append)
    target.pull(pushed, back)
    assert back.read_bytes() == file.read_bytes()
    assert seen[-1] == file.stat().st_size

    beginning = tmp_path / "beginning"
    beginning.write_bytes(file.read_bytes()[: 2 * APPEND_BLOCK_BYTES])
    target.append(beginning, appended)
    target.append(file, appended, offset=2 * APPEND_BLOCK_BYTES)
    target.pull(appended, back)
    assert back.read_bytes() == file.read_bytes()


def test_sizes_above_4_gib_are_seen(served: ServedPhone, target: Target) -> None:
    big = served.phone.root.resolve(str(target.workspace / "big"))
    big.parent.mkdir(parents=True, exist_ok=True)
    big.touch()
    os.truncate(big, 5 << 30)  # sparse: takes no space

    found = target.stat(target.workspace / "big")
    assert found is not None and found.size == 5 << 30
    assert target.stat(target.workspace / "absent") is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("write failed: No space left on device", NoSpaceError),
        ("couldn't create file: Permission denied", PermissionDeniedError),
    ],
)
def test_a_push_that_fails_on_the_way_carries_the_phones_words(
    served: ServedPhone, target: Target, file: Path, message: str, kind: type[TransferError]
) -> None:
    served.phone.faults = Faults(fail_push_after_bytes=100_000, fail_message=message)
    with pytest.raises(kind, match=message) as caught:
        target.push(file, target.workspace / "file")
    assert caught.value.phase == "pushing"

    served.phone.faults = Faults()
    target.push(file, target.workspace / "file")


def test_what_cannot_be_appended_to_says_why(target: Target, file: Path) -> None:
    with pytest.raises(TransferError):
        target.append(file, target.workspace.parent, offset=APPEND_BLOCK_BYTES)  # a folder


@pytest.mark.parametrize("fault", ["omit_exit_packet", "vanish_at_exit"])
def test_only_an_exit_packet_is_an_end(served: ServedPhone, target: Target, fault: str) -> None:
    served.phone.faults = replace(Faults(), **{fault: True})
    with pytest.raises(DeviceGoneError, match="echo whole"):
        target.run(["echo", "whole"])


def test_a_phone_that_is_unplugged_during_a_command_is_gone(
    served: ServedPhone, target: Target
) -> None:
    unplugging = threading.Timer(0.3, served.unplug)
    unplugging.start()
    with pytest.raises(DeviceGoneError):
        target.run(["sleep", "60"])
    unplugging.join()


def test_a_refused_service_says_so(served: ServedPhone, target: Target, file: Path) -> None:
    served.phone.faults = Faults(refuse_service="sync:")
    with pytest.raises(ServiceRefusedError):
        target.push(file, target.workspace / "file")
    assert target.run(["true"]).exit_code == 0


def test_a_command_does_not_wait_for_another(target: Target) -> None:
    flag = target.workspace / "flag"
    target.check(["mkdir", "-p", str(target.workspace)])
    waiting = ["sh", "-c", f"while [ ! -f {flag} ]; do sleep 0.05; done"]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(target.run, waiting, timeout_s=30)
        target.check(["touch", str(flag)], timeout_s=30)
        assert first.result().exit_code == 0


def test_output_streams_and_can_be_left(target: Target) -> None:
    endless = ["sh", "-c", "while :; do echo again; sleep 0.05; done"]
    with target.stream(endless) as pieces:
        assert next(pieces).startswith(b"again\n")
    with target.stream(["sh", "-c", "echo last; exit 3"]) as pieces:
        assert next(pieces) == b"last\n"
        with pytest.raises(CommandFailedError, match="exit code 3"):
            next(pieces)
    assert target.run(["echo", "on"]).stdout == b"on\n"


def test_its_bytes_are_counted(target: Target, file: Path) -> None:
    before = target.traffic()
    target.push(file, target.workspace / "file")
    after = target.traffic()
    assert before is not None and after is not None
    assert after.sent - before.sent > file.stat().st_size


def test_a_serial_that_the_server_does_not_know_is_named(served: ServedPhone) -> None:
    with pytest.raises(DeviceGoneError, match="adb connect") as caught:
        open_target("adb:ANOTHER", timeouts=PATIENT)
    assert "'ANOTHER' not found" in str(caught.value)


def test_adb_itself_takes_a_command_without_an_end_for_success(adb: AdbProgram) -> None:
    with FakePhone(accept_new_keys=True) as phone:
        serial = f"127.0.0.1:{phone.port}"
        adb.connect(serial)
        phone.faults = Faults(omit_exit_packet=True)
        assert adb("-s", serial, "shell", "exit 5").returncode == 0
        adb("disconnect", serial)
