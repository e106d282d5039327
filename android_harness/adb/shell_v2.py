"""Commands with exit codes: the service `shell,v2,raw:` (adb's shell_protocol.h).

Each packet is an id byte, a little-endian length, and data.
"""

from __future__ import annotations

import struct

from android_harness.adb.connection import AdbConnection, Deadline
from android_harness.errors import DeviceGoneError, DeviceTimeoutError, UnsupportedDeviceError
from android_harness.target import CommandResult

_STDOUT, _STDERR, _EXIT = 1, 2, 3
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
    if "shell_v2" not in connection.features:
        raise UnsupportedDeviceError(
            "the device's daemon reports no exit codes",
            device=connection.device,
            remedy="use a device with Android 7 or newer",
        )
    stream = connection.open_stream(f"shell,v2,raw:{command}")
    by = Deadline(timeout_s)
    output = {_STDOUT: bytearray(), _STDERR: bytearray()}
    shown = command if len(command) <= 120 else command[:117] + "..."
    try:
        while True:
            kind, length = _HEADER.unpack(stream.read(_HEADER.size, by=by))
            data = stream.read(length, by=by)
            if kind == _EXIT and data:
                stream.close()
                return CommandResult(data[0], bytes(output[_STDOUT]), bytes(output[_STDERR]))
            if kind in output:
                output[kind] += data
    except TimeoutError as error:
        raise DeviceTimeoutError(
            f"no exit code after {timeout_s} s", device=connection.device, command=shown
        ) from error
    except (OSError, EOFError) as error:
        raise DeviceGoneError(
            f"the link ended before the command did: {error}",
            device=connection.device,
            command=shown,
        ) from error
