"""From the text of a --target option to a connected target."""

from __future__ import annotations

from android_harness.adb.connection import AdbTimeouts
from android_harness.errors import TargetSyntaxError
from android_harness.target import Target
from android_harness.targets.adb_target import open_tcp_target, open_usb_target
from android_harness.targets.local_target import LocalTarget

_REMEDY = "use local, adb:SERIAL (USB) or adb-tcp:HOST:PORT"


def open_target(spec: str, *, timeouts: AdbTimeouts | None = None) -> Target:
    """Connects to `local`, `adb:SERIAL` or `adb-tcp:HOST:PORT` (IPv6 hosts in brackets).

    Raises:
        TargetSyntaxError: `spec` is none of these.
        DeviceError: the device cannot be reached; the subclass says why.
    """
    kind, _, rest = spec.partition(":")
    if spec == "local":
        return LocalTarget()
    if kind == "adb" and rest:
        return open_usb_target(rest, timeouts=timeouts or AdbTimeouts())
    if kind == "adb-tcp" and rest:
        host, port = _host_and_port(spec, rest)
        return open_tcp_target(host, port, timeouts=timeouts or AdbTimeouts())
    raise TargetSyntaxError(f"{spec!r} is not a target", remedy=_REMEDY)


def _host_and_port(spec: str, address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise TargetSyntaxError(f"{spec!r} has no valid HOST:PORT", remedy=_REMEDY)
    return host, int(port)
