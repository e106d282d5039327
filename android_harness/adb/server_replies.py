"""What the adb server says: its lists of devices, and its reasons for a FAIL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from android_harness.errors import (
    AmbiguousDeviceError,
    DeviceError,
    DeviceForbiddenError,
    DeviceGoneError,
    DeviceOfflineError,
    DeviceState,
    ServiceRefusedError,
    UnauthorizedError,
)

_STATES: dict[str, DeviceState] = {state: state for state in get_args(DeviceState)}
_NO_SERIAL = "(no serial number)"
_FIELD = re.compile(r"(?:^|\s)(usb|product|model|device|transport_id):(\S*)")

# The beginnings of the texts in adb's transport.cpp and usb_linux.cpp.
_BY_TEXT: tuple[tuple[str, type[DeviceError]], ...] = (
    ("device unauthorized", UnauthorizedError),
    ("device still authorizing", DeviceOfflineError),
    ("device still connecting", DeviceOfflineError),
    ("device offline", DeviceOfflineError),
    ("insufficient permissions", DeviceForbiddenError),
    ("no permissions", DeviceForbiddenError),
    ("more than one", AmbiguousDeviceError),
    ("closed", ServiceRefusedError),
)


@dataclass(frozen=True)
class ListedDevice:
    """A line of `devices -l`.

    Attributes:
        serial: as adb takes it, e.g. `R58N12ABCDE` or `192.0.2.7:5555`; empty: it has none.
        state: what the server makes of it.
        said: the server's own words for the state, with the reason where it gives one.
        model: `Pixel_8`; None: the server does not know.
    """

    serial: str
    state: DeviceState
    said: str
    model: str | None


def parse_devices(text: str) -> list[ListedDevice]:
    """The devices of `host:devices`, `host:devices-l` or a message of the trackers."""
    return [_device(line) for line in text.splitlines() if line.strip()]


def server_error(said: str, *, device: str, phase: str) -> DeviceError:
    """The error for a FAIL with the text `said`."""
    first, _, _ = said.strip().partition("\n")
    if first.startswith(("device '", "no devices", "unknown host service")):
        return DeviceGoneError(
            f"the adb server says: {first}",
            device=device,
            phase=phase,
            remedy="`adb devices` lists what the server sees; `adb connect HOST:PORT` adds a "
            "device on the network; check the cable and that debugging is on",
        )
    kind = next((kind for text, kind in _BY_TEXT if first.startswith(text)), DeviceError)
    return kind(f"the adb server says: {first}", device=device, phase=phase)


def _device(line: str) -> ListedDevice:
    if line.startswith(_NO_SERIAL):
        serial, rest = "", line[len(_NO_SERIAL) :]
    else:
        serial, _, rest = line.replace("\t", " ").strip().partition(" ")
    fields = dict(_FIELD.findall(rest))
    first = _FIELD.search(rest)
    said = (rest[: first.start()] if first else rest).strip()
    return ListedDevice(serial, _state(said), said, fields.get("model") or None)


def _state(said: str) -> DeviceState:
    # "no permissions (user is in no group; see ...)"
    return "no permissions" if said.startswith("no permissions") else _STATES.get(said, "unknown")
