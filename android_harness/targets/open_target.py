"""From the text of a --target option to a connected target."""

from __future__ import annotations

import os

from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import AdbServer, find_server
from android_harness.errors import AmbiguousDeviceError, NoDevicesError, TargetSyntaxError
from android_harness.target import Target
from android_harness.targets.adb_target import AdbTarget
from android_harness.targets.discover import FoundDevice, listed_device, usb_devices
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.reach import open_server_target, open_tcp_target, open_usb_target

_REMEDY = "use local, adb:SERIAL, adb: for the only device, or adb-tcp:HOST:PORT"


def open_target(spec: str, *, timeouts: AdbTimeouts | None = None) -> Target:
    """Connects to `local`, `adb:SERIAL` or `adb-tcp:HOST:PORT` (IPv6 hosts in brackets).

    `adb:SERIAL` goes through the adb server where one answers, and else to the device on USB.
    `adb:` is the device of $ANDROID_SERIAL, or the only one.

    Raises:
        TargetSyntaxError: `spec` is none of these.
        NoDevicesError: `adb:`, and there is no device.
        AmbiguousDeviceError: `adb:`, and there are several.
        DeviceError: the device cannot be reached; the subclass says why.
    """
    timeouts = timeouts or AdbTimeouts()
    kind, _, rest = spec.partition(":")
    if spec == "local":
        return LocalTarget()
    if spec.startswith("adb:"):
        return _open_by_serial(rest or os.environ.get("ANDROID_SERIAL", ""), timeouts)
    if kind == "adb-tcp" and rest:
        host, port = _host_and_port(spec, rest)
        return open_tcp_target(host, port, timeouts=timeouts)
    raise TargetSyntaxError(f"{spec!r} is not a target", remedy=_REMEDY)


def _open_by_serial(serial: str, timeouts: AdbTimeouts) -> AdbTarget:
    server = find_server(timeouts=timeouts)
    serial = serial or _only_serial(server)
    if server is not None:
        return open_server_target(serial, server)
    return open_usb_target(serial, timeouts=timeouts)


def _only_serial(server: AdbServer | None) -> str:
    found: list[FoundDevice] = (
        usb_devices()
        if server is None
        else [listed_device(device, server) for device in server.devices()]
    )
    if not found:
        raise NoDevicesError(
            "adb: there is no device",
            remedy="plug one in with USB debugging on, or `adb connect HOST:PORT`",
        )
    if len(found) > 1:
        specs = ", ".join(device.spec for device in found)
        raise AmbiguousDeviceError(f"there are {len(found)} devices: {specs}", device="adb:")
    return found[0].spec.removeprefix("adb:")


def _host_and_port(spec: str, address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise TargetSyntaxError(f"{spec!r} has no valid HOST:PORT", remedy=_REMEDY)
    return host, int(port)
