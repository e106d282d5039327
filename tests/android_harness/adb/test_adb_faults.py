"""Every way in which a phone can fail ends in its own error, and soon."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from android_harness.errors import (
    DeviceGoneError,
    DeviceProtocolError,
    DeviceTimeoutError,
    NoSpaceError,
    PermissionDeniedError,
    ServiceRefusedError,
    TransferError,
    UnauthorizedError,
    UnsupportedDeviceError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.targets.open_target import open_target
from tests.android_harness.waiting import HASTY, PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

MEGABYTES = 4 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"\xa5" * MEGABYTES)
    return path


def test_a_phone_that_trusts_nobody_is_unauthorized() -> None:
    with (
        FakePhone(faults=Faults(never_authorize=True)) as phone,
        pytest.raises(UnauthorizedError, match="accept the USB debugging prompt"),
    ):
        open_target(phone.target, timeouts=HASTY)


def test_a_stranger_is_unauthorized_until_the_key_is_accepted() -> None:
    with (
        FakePhone(known_keys=()) as phone,
        pytest.raises(UnauthorizedError),
    ):
        open_target(phone.target, timeouts=HASTY)

    with (
        FakePhone(known_keys=(), accept_new_keys=True) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        assert target.run(["true"]).exit_code == 0


def test_a_phone_without_authentication_is_served() -> None:
    with FakePhone(authentication=False) as phone, open_target(phone.target) as target:
        assert target.run(["true"]).exit_code == 0


@pytest.mark.parametrize("fault", ["end_after_bytes", "reset_after_bytes"])
@pytest.mark.parametrize("count", [0, 30, 1_000_000])
def test_a_lost_connection_is_gone(phone: FakePhone, file: Path, fault: str, count: int) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = replace(Faults(), **{fault: count})
        with pytest.raises(DeviceGoneError):
            target.push(file, target.workspace / "file")

        phone.faults = Faults()
        target.push(file, target.workspace / "file")


def test_a_phone_that_freezes_times_out(phone: FakePhone, file: Path) -> None:
    with open_target(phone.target, timeouts=HASTY) as target:
        phone.faults = Faults(stall_after_bytes=1_000_000)
        with pytest.raises(DeviceTimeoutError):
            target.push(file, target.workspace / "file")


def test_a_refused_service_says_so(phone: FakePhone, file: Path) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = Faults(refuse_service="sync:")
        with pytest.raises(ServiceRefusedError, match="sync:"):
            target.push(file, target.workspace / "file")
        assert target.run(["true"]).exit_code == 0


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("write failed: No space left on device", NoSpaceError),
        ("couldn't create file: Permission denied", PermissionDeniedError),
        ("couldn't create file: Read-only file system", PermissionDeniedError),
        ("something new", TransferError),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
def test_a_push_that_fails_carries_the_phones_words(
    phone: FakePhone, file: Path, message: str, kind: type[TransferError], silent: bool
) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = Faults(
            fail_push_after_bytes=100_000, fail_message=message, silent_after_fail=silent
        )
        with pytest.raises(kind, match=message) as caught:
            target.push(file, target.workspace / "file")
        assert type(caught.value) is kind

        phone.faults = Faults()
        target.push(file, target.workspace / "file")


@pytest.mark.parametrize("fault", ["omit_exit_packet", "vanish_at_exit"])
def test_only_an_exit_packet_is_an_end(phone: FakePhone, fault: str) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = replace(Faults(), **{fault: True})
        with pytest.raises(DeviceGoneError, match="echo whole"):
            target.run(["echo", "whole"])


def test_a_phone_switched_off_during_a_command_is_gone() -> None:
    with FakePhone() as phone, open_target(phone.target, timeouts=PATIENT) as target:
        switch = threading.Timer(0.3, phone.switch_off)
        switch.start()
        with pytest.raises(DeviceGoneError):
            target.run(["sleep", "60"])
        switch.join()


def test_an_idle_connection_that_died_is_replaced(phone: FakePhone) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        phone.faults = Faults(vanish_at_exit=True)
        with pytest.raises(DeviceGoneError):
            target.run(["true"])
        phone.faults = Faults()
        assert target.run(["true"]).exit_code == 0


def test_a_slow_reader_with_a_small_window_gets_every_byte(file: Path) -> None:
    with (
        FakePhone(receive_buffer_bytes=4096, faults=Faults(read_delay_s=0.005)) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        target.push(file, target.workspace / "file")
        assert phone.root.resolve(str(target.workspace / "file")).read_bytes() == (
            file.read_bytes()
        )


def test_a_daemon_without_exit_codes_is_refused() -> None:
    with (
        FakePhone(features=("cmd",)) as phone,
        pytest.raises(UnsupportedDeviceError, match="Android 7"),
    ):
        open_target(phone.target, timeouts=PATIENT)


def test_something_that_does_not_speak_adb_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeviceProtocolError, match="debugging port"):
            open_target(f"adb-tcp:127.0.0.1:{server.getsockname()[1]}", timeouts=HASTY)
        thread.join()
