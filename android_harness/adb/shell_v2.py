"""Commands with exit codes: the service `shell,v2,raw:` (adb's shell_protocol.h).

Each packet is an id byte, a little-endian length, and data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from android_harness.adb.connection import AdbConnection, AdbStream, Deadline
from android_harness.errors import DeviceGoneError, DeviceTimeoutError, UnsupportedDeviceError
from android_harness.target import CommandResult

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")


def run_command(
    connection: AdbConnection, command: str, *, timeout_s: float | None
) -> CommandResult:
    """Runs a shell command line; only the exit packet makes it complete.

    Raises:
        DeviceTimeoutError: no exit packet after `timeout_s` seconds.
        DeviceGoneError: the link or the stream ended without an exit packet.
        UnsupportedDeviceError: the daemon has no exit codes (before Android 7).
    """
    stream = _open(connection, command)
    with _errors(connection, command, f"no exit code after {timeout_s} s"):
        return _result(stream, Deadline(timeout_s))


def run_with_input(
    connection: AdbConnection,
    command: str,
    content: BinaryIO,
    *,
    progress: Callable[[int], None],
) -> CommandResult:
    """Runs a shell command line with `content` as its input, which it may leave before its end.

    Args:
        progress: called with the bytes of input that the device took so far.

    Raises:
        DeviceTimeoutError: the device took nothing, or did not end, within the reply time-out.
        DeviceGoneError: the link or the stream ended without an exit packet.
        UnsupportedDeviceError: the daemon has no exit codes (before Android 7).
    """
    stream = _open(connection, command)
    with _errors(connection, command, "the device takes no more input"):
        sent = 0
        while data := content.read(stream.max_payload_bytes - _HEADER.size):
            stream.write(_HEADER.pack(_STDIN, len(data)) + data, until_reply=True)
            if stream.received:  # it has said something instead: an error, or its end
                break
            sent += len(data)
            progress(sent)
        else:
            stream.write(_HEADER.pack(_CLOSE_STDIN, 0))
        return _result(stream, Deadline(connection.timeouts.reply_s))


def _open(connection: AdbConnection, command: str) -> AdbStream:
    if "shell_v2" not in connection.features:
        raise UnsupportedDeviceError(
            "the device's daemon reports no exit codes",
            device=connection.device,
            remedy="use a device with Android 7 or newer",
        )
    return connection.open_stream(f"shell,v2,raw:{command}")


def _result(stream: AdbStream, by: Deadline) -> CommandResult:
    output = {_STDOUT: bytearray(), _STDERR: bytearray()}
    while True:
        kind, length = _HEADER.unpack(stream.read(_HEADER.size, by=by))
        data = stream.read(length, by=by)
        if kind == _EXIT and data:
            stream.close()
            return CommandResult(data[0], bytes(output[_STDOUT]), bytes(output[_STDERR]))
        if kind in output:
            output[kind] += data


@contextmanager
def _errors(connection: AdbConnection, command: str, silence: str) -> Iterator[None]:
    shown = command if len(command) <= 120 else command[:117] + "..."
    try:
        yield
    except TimeoutError as error:
        raise DeviceTimeoutError(silence, device=connection.device, command=shown) from error
    except (OSError, EOFError) as error:
        raise DeviceGoneError(
            f"the link ended before the command did: {error}",
            device=connection.device,
            command=shown,
        ) from error
