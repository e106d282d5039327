"""Whatever bytes arrive, the ADB clients end in typed errors."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath

import pytest
from adb_shell.transport.base_transport import BaseTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from android_harness.adb.connection import AdbConnection
from android_harness.adb.file_sync import pull_file, push_file, stat_file
from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import AdbServer
from android_harness.adb.server_address import ServerAddress
from android_harness.adb.server_connection import ServerConnection
from android_harness.adb.server_replies import parse_devices
from android_harness.adb.shell_v2 import run_command
from android_harness.adb.socket_meter import SocketMeter
from android_harness.errors import DeviceError
from android_harness.fake_phone.wire import Message

TIMEOUTS = AdbTimeouts(connect_s=5, authorize_s=0.01, reply_s=5)
PATH = PurePosixPath("/data/file")


class Recording(BaseTransport):  # type: ignore[misc]
    """A transport whose device says some bytes and is gone."""

    def __init__(self, said: bytes) -> None:
        self._said = io.BytesIO(said)

    def connect(self, timeout_s: float) -> None: ...

    def close(self) -> None: ...

    def bulk_write(self, data: bytes, timeout_s: float | None) -> int:
        return len(data)

    def bulk_read(self, size: int, timeout_s: float | None) -> bytes:
        data = self._said.read(size)
        if not data:
            raise ConnectionResetError("no more")
        return data


class AnyKey:
    public_key = b"key"

    def Sign(self, token: bytes) -> bytes:  # noqa: N802
        return b"signature"


def message(command: bytes, arg0: int, arg1: int, data: bytes) -> bytes:
    return Message(command, arg0, arg1, data).pack(with_checksum=True)


HELLO = message(b"CNXN", 0x01000001, 1 << 20, b"device::features=shell_v2,stat_v2")
MESSAGES = st.builds(
    message,
    st.sampled_from([b"OKAY", b"WRTE", b"CLSE", b"CNXN", b"AUTH", b"STLS", b"OPEN"]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.binary(max_size=40),
)
SAID = st.one_of(
    st.binary(max_size=120),
    st.lists(MESSAGES, max_size=6).map(b"".join),
    st.lists(MESSAGES, max_size=6).map(lambda messages: HELLO + b"".join(messages)),
    st.lists(st.binary(max_size=30), max_size=4).map(
        lambda parts: (
            HELLO
            + message(b"OKAY", 1, 1, b"")
            + b"".join(message(b"WRTE", 1, 1, part) + message(b"OKAY", 1, 1, b"") for part in parts)
        )
    ),
)


@given(said=SAID)
@settings(deadline=None)
def test_a_device(said: bytes) -> None:
    for use in ("run", "stat", "pull", "push"):
        connection = AdbConnection(Recording(said), device="device", timeouts=TIMEOUTS)
        with suppress(DeviceError):
            connection.connect([AnyKey()])  # type: ignore[list-item]
            _use(connection, use)


def _use(connection: AdbConnection | ServerConnection, use: str) -> None:
    if use == "run":
        run_command(connection, "true", timeout_s=5)
    elif use == "stat":
        stat_file(connection, PATH)
    elif use == "pull":
        pull_file(connection, PATH, io.BytesIO())
    else:
        push_file(connection, io.BytesIO(b"content"), PATH, mtime=0)


class ScriptedServer:
    """A socket that answers every request with the next of the given bytes, and closes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.answers: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            with client, suppress(OSError):
                client.recv(1 << 16)
                client.sendall(self.answers.pop(0) if self.answers else b"")
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


def text(content: bytes) -> bytes:
    return b"%04x" % len(content) + content


ANSWERS = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda content: b"OKAY" + content),
    st.binary(max_size=40).map(lambda content: b"OKAY" + text(content)),
    st.binary(max_size=40).map(lambda content: b"FAIL" + text(content)),
)


@given(answers=st.lists(ANSWERS, min_size=2, max_size=2))
@settings(deadline=None, max_examples=60)
def test_a_server_asked_for_its_devices(scripted: ScriptedServer, answers: list[bytes]) -> None:
    server = AdbServer(ServerAddress(port=scripted.port), timeouts=TIMEOUTS)
    for ask in (server.version, server.devices, lambda: list(server.track())):
        scripted.answers = list(answers)
        with suppress(DeviceError):
            ask()


@given(said=st.binary(max_size=80), use=st.sampled_from(["run", "stat", "pull", "push"]))
@settings(deadline=None, max_examples=60)
def test_a_service_behind_a_server(scripted: ScriptedServer, said: bytes, use: str) -> None:
    scripted.answers = [
        b"OKAY" + text(b"device"),
        b"OKAY" + text(b"shell_v2,stat_v2"),
        b"OKAYOKAY" + said,
    ]
    server = AdbServer(ServerAddress(port=scripted.port), timeouts=TIMEOUTS)
    connection = ServerConnection(server, "PHONE", device="adb:PHONE", meter=SocketMeter())
    with suppress(DeviceError):
        _use(connection, use)
    connection.close()


@given(st.text())
def test_lists_of_devices(said: str) -> None:
    for device in parse_devices(said):
        assert "\n" not in device.serial


WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(serial=WORDS, model=WORDS, long=st.booleans())
def test_a_line_of_a_list_is_read_whatever_its_form(serial: str, model: str, long: bool) -> None:
    line = (
        f"{serial:<22} device usb:1-1 product:p model:{model} device:d transport_id:3"
        if long
        else f"{serial}\tdevice"
    )
    (device,) = parse_devices(line + "\n")
    assert (device.serial, device.state) == (serial, "device")
    assert device.model == (model if long else None)


def test_a_device_without_a_serial_or_permission_is_listed() -> None:
    (device,) = parse_devices(
        "(no serial number)     no permissions (missing udev rules? user is in the plugdev group); "
        "see [http://developer.android.com/tools/device.html] usb:1-4 transport_id:1"
    )
    assert (device.serial, device.state) == ("", "no permissions")
    assert device.said.endswith("device.html]")
