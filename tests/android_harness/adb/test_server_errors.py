"""What the adb server refuses, and what is no adb server, each end in an error of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from android_harness.adb.server_address import ServerAddress, server_address
from android_harness.errors import (
    AmbiguousDeviceError,
    DeviceError,
    DeviceForbiddenError,
    DeviceGoneError,
    DeviceOfflineError,
    DeviceProtocolError,
    DeviceTimeoutError,
    NoDevicesError,
    NotAndroidError,
    ServerAddressError,
    UnauthorizedError,
)
from android_harness.fake_phone import FakePhone
from android_harness.targets.discover import expand_targets, found_devices
from android_harness.targets.open_target import open_target
from tests.android_harness.adb.adb_program import AdbProgram
from tests.android_harness.adb.fake_adb_server import FakeAdbServer
from tests.android_harness.waiting import HASTY, PATIENT

UsePort = Callable[[int], None]

NO_PERMISSIONS = (
    "no permissions (missing udev rules? user is in the plugdev group); see [http://x.y/z.html]"
)


@pytest.mark.parametrize(
    ("state", "kind", "remedy"),
    [
        ("unauthorized", UnauthorizedError, "accept the USB debugging prompt"),
        ("authorizing", DeviceOfflineError, "wait some seconds"),
        ("connecting", DeviceOfflineError, "wait some seconds"),
        ("offline", DeviceOfflineError, "adb reconnect offline"),
        (NO_PERMISSIONS, DeviceForbiddenError, "udev rule"),
        ("recovery", NotAndroidError, "adb reboot"),
    ],
)
def test_each_state_has_its_error_and_its_remedy(
    server_port: UsePort, phone: FakePhone, state: str, kind: type[DeviceError], remedy: str
) -> None:
    with FakeAdbServer() as server:
        server.plug_in("PHONE", phone, state)
        server_port(server.port)

        with pytest.raises(kind, match=remedy) as caught:
            open_target("adb:PHONE", timeouts=PATIENT)
        assert (caught.value.device, caught.value.phase) == ("adb:PHONE", "connecting")
        (found,) = found_devices()
        assert not found.usable and found.state in state and found.reason == state
        with pytest.raises(NoDevicesError, match="adb:PHONE is") as none:
            expand_targets(["all"])
        assert state in str(none.value)


def test_all_are_those_that_can_be_used(server_port: UsePort, phone: FakePhone) -> None:
    with FakeAdbServer() as server:
        server_port(server.port)
        with pytest.raises(NoDevicesError, match="none was found"):
            expand_targets(["local", "all"])
        server.plug_in("ONE", phone)
        server.plug_in("LOCKED", phone, "unauthorized")
        server.plug_in("TWO", phone)

        assert expand_targets(["adb:TWO", "all", "local", "all"]) == ["adb:TWO", "adb:ONE", "local"]


def test_the_only_device_needs_no_name(
    server_port: UsePort, phone: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeAdbServer() as server:
        server_port(server.port)
        with pytest.raises(NoDevicesError, match="adb connect"):
            open_target("adb:")
        server.plug_in("ONE", phone)
        with open_target("adb:", timeouts=PATIENT) as target:
            assert target.name == "adb:ONE"

        server.plug_in("TWO", phone)
        with pytest.raises(AmbiguousDeviceError, match="adb:ONE, adb:TWO"):
            open_target("adb:")
        monkeypatch.setenv("ANDROID_SERIAL", "TWO")
        with open_target("adb:", timeouts=PATIENT) as target:
            assert target.name == "adb:TWO"
        phone.switch_off()


def test_a_stranger_is_unauthorized_behind_adb_too(adb: AdbProgram, server_port: UsePort) -> None:
    with FakePhone(known_keys=()) as phone:
        serial = f"127.0.0.1:{phone.port}"
        adb("connect", serial)
        server_port(adb.port)
        with pytest.raises(UnauthorizedError, match="accept the USB debugging prompt"):
            open_target(f"adb:{serial}", timeouts=PATIENT)
        adb("disconnect", serial)


def test_a_phone_that_adb_lost_is_offline_or_gone(adb: AdbProgram, server_port: UsePort) -> None:
    with FakePhone(accept_new_keys=True) as phone:
        serial = f"127.0.0.1:{phone.port}"
        adb.connect(serial)
        server_port(adb.port)
        with open_target(f"adb:{serial}", timeouts=PATIENT) as target:
            phone.switch_off()
            with pytest.raises((DeviceOfflineError, DeviceGoneError)):
                target.wait_for(timeout_s=0.5)
            assert target.state() in ("offline", "absent")
        adb("disconnect", serial)


def test_a_server_that_ends_is_gone_and_can_come_back(
    server_port: UsePort, phone: FakePhone
) -> None:
    with FakeAdbServer() as server:
        server.plug_in("PHONE", phone)
        server_port(server.port)
        target = open_target("adb:PHONE", timeouts=PATIENT)
    with pytest.raises(DeviceGoneError, match="adb start-server"):
        target.run(["true"])

    with FakeAdbServer(port=server.port) as server:
        server.plug_in("PHONE", phone)
        target.wait_for(timeout_s=20)
        assert target.run(["echo", "again"]).stdout == b"again\n"
        phone.switch_off()
    target.close()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"OKAY00zz", b"OKAY0002xy"]
)
def test_what_is_no_adb_server_is_told_apart(server_port: UsePort, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        server_port(listener.getsockname()[1])
        with pytest.raises(DeviceProtocolError, match="see what listens there"):
            open_target("adb:PHONE", timeouts=PATIENT)
        thread.join()


def test_a_server_that_hangs_times_out(server_port: UsePort) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server_port(listener.getsockname()[1])
        with pytest.raises(DeviceTimeoutError, match="adb kill-server"):
            open_target("adb:PHONE", timeouts=HASTY)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ServerAddress("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "15037"}, ServerAddress("127.0.0.1", 15037)),
        (
            {"ANDROID_ADB_SERVER_ADDRESS": "host", "ANDROID_ADB_SERVER_PORT": "1"},
            ServerAddress("host", 1),
        ),
        ({"ADB_SERVER_SOCKET": "tcp:host:7"}, ServerAddress("host", 7)),
        ({"ADB_SERVER_SOCKET": "tcp:[::1]:7"}, ServerAddress("::1", 7)),
        ({"ADB_SERVER_SOCKET": "tcp:7", "ANDROID_ADB_SERVER_PORT": "8"}, ServerAddress(port=7)),
        ({"ADB_SERVER_SOCKET": "localfilesystem:/run/adb"}, ServerAddress(path="/run/adb")),
        ({"ADB_SERVER_SOCKET": "localabstract:adb"}, ServerAddress(path="\0adb")),
    ],
)
def test_the_server_is_where_adb_itself_looks(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: ServerAddress
) -> None:
    _only(monkeypatch, environment)
    assert server_address() == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"ANDROID_ADB_SERVER_PORT": "http"},
        {"ADB_SERVER_SOCKET": "tcp:"},
        {"ADB_SERVER_SOCKET": "tcp:host:0"},
        {"ADB_SERVER_SOCKET": "vsock:1:2"},
    ],
)
def test_an_address_that_is_none_says_what_to_mend(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    _only(monkeypatch, environment)
    with pytest.raises(ServerAddressError, match="ADB_SERVER_SOCKET"):
        server_address()


def _only(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
