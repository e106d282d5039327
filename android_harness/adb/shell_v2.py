"""Commands with exit codes: the service `shell,v2,raw:` (adb's shell_protocol.h).

Each packet is an id byte, a little-endian length, and data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from android_harness.adb.link import Deadline, DeviceConnection, DeviceStream
from android_harness.errors import UnsupportedDeviceError
from android_harness.target import CommandResult, shortened

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")


def run_command(
    connection: DeviceConnection, command: str, *, timeout_s: float | None
) -> CommandResult:
    """Runs a shell command line; only the exit packet makes it complete.

    Raises:
        DeviceTimeoutError: no exit packet after `timeout_s` seconds.
        DeviceGoneError: the link or the stream ended without an exit packet.
        UnsupportedDeviceError: the daemon has no exit codes (before Android 7).
    """
    return _collected(stream_command(connection, command, timeout_s=timeout_s))


def stream_command(
    connection: DeviceConnection, command: str, *, timeout_s: float | None
) -> Generator[bytes, None, CommandResult]:
    """Yields a command's standard output as it arrives; returns its end, without that output.

    Raises:
        As `run_command`.
    """
    stream = _open(connection, command)
    with _errors(connection, command, f"no exit code after {timeout_s} s"):
        return (yield from _output(stream, Deadline(timeout_s)))


def run_with_input(
    connection: DeviceConnection,
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
        try:
            while data := content.read(stream.max_payload_bytes - _HEADER.size):
                stream.write(_HEADER.pack(_STDIN, len(data)) + data, until=_has_ended)
                if _has_ended(stream.received):  # it takes no more; why is in what it said
                    break
                sent += len(data)
                progress(sent)
            else:
                stream.write(_HEADER.pack(_CLOSE_STDIN, 0))
        except OSError:
            if not stream.received:
                raise
            # It ended while it was written to; why is in what it said.
        return _collected(_output(stream, None))


def _has_ended(said: bytes) -> bool:
    """Whether the exit packet is among what a command said; a warning alone is no end."""
    while len(said) >= _HEADER.size:
        kind, length = _HEADER.unpack_from(said)
        if kind == _EXIT:
            return True
        said = said[_HEADER.size + length :]
    return False


def _open(connection: DeviceConnection, command: str) -> DeviceStream:
    if "shell_v2" not in connection.features:
        raise UnsupportedDeviceError(
            "the device's daemon reports no exit codes",
            device=connection.device,
            phase="opening",
            remedy="use a device with Android 7 or newer",
        )
    return connection.open_stream(f"shell,v2,raw:{command}")


def _output(stream: DeviceStream, by: Deadline | None) -> Generator[bytes, None, CommandResult]:
    """Yields standard output until the exit packet; returns the exit code and standard error."""
    stderr = bytearray()
    while True:
        kind, length = _HEADER.unpack(stream.read(_HEADER.size, by=by))
        data = stream.read(length, by=by)
        if kind == _EXIT and data:
            stream.close()
            return CommandResult(data[0], b"", bytes(stderr))
        if kind == _STDOUT:
            yield data
        elif kind == _STDERR:
            stderr += data


def _collected(output: Generator[bytes, None, CommandResult]) -> CommandResult:
    stdout = bytearray()
    while True:
        try:
            stdout += next(output)
        except StopIteration as end:
            result: CommandResult = end.value
            return replace(result, stdout=bytes(stdout))


@contextmanager
def _errors(connection: DeviceConnection, command: str, silence: str) -> Iterator[None]:
    """Typed errors that name the command; a time-out says `silence`."""
    with connection.errors("running", command=shortened(command)):
        try:
            yield
        except TimeoutError as error:
            raise TimeoutError(silence) from error
