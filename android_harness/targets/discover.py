"""Which devices there are: those of the adb server, or those on USB where none runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import AdbServer, find_server
from android_harness.adb.server_replies import ListedDevice
from android_harness.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceForbiddenError,
    DeviceGoneError,
    DeviceOfflineError,
    DeviceState,
    NoDevicesError,
    NotAndroidError,
    UnauthorizedError,
)

ALL = "all"

_ERROR_OF_STATE: dict[DeviceState, type[DeviceError]] = {
    "offline": DeviceOfflineError,
    "connecting": DeviceOfflineError,
    "authorizing": UnauthorizedError,
    "unauthorized": UnauthorizedError,
    "no permissions": DeviceForbiddenError,
    "bootloader": NotAndroidError,
    "recovery": NotAndroidError,
    "sideload": NotAndroidError,
    "rescue": NotAndroidError,
    "busy": DeviceBusyError,
    "absent": DeviceGoneError,
}


@dataclass(frozen=True)
class FoundDevice:
    """A device that was found, usable or not.

    Attributes:
        spec: the target by which to open it.
        state: `device` when it can be used.
        model: None: unknown.
        through: how it is reached.
        reason: why it cannot be used; empty when it can.
    """

    spec: str
    state: DeviceState
    model: str | None
    through: str
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be opened as it is."""
        return self.state == "device"

    @property
    def remedy(self) -> str:
        """What to do where it cannot be used."""
        if self.usable:
            return ""
        return _ERROR_OF_STATE.get(self.state, DeviceOfflineError).default_remedy


def found_devices() -> list[FoundDevice]:
    """Every device but this machine, in adb's order.

    Raises:
        DeviceError: what listens at the adb server's address hangs, or is none.
    """
    server = find_server(timeouts=AdbTimeouts())
    if server is None:
        return usb_devices()
    return [listed_device(device, server) for device in server.devices()]


def expand_targets(specs: Sequence[str]) -> list[str]:
    """The targets with `all` replaced by every usable device, in order, each but once.

    Raises:
        NoDevicesError: `all` stands for none; says which devices cannot be used, and why.
        DeviceError: what listens at the adb server's address hangs, or is none.
    """
    expanded: dict[str, None] = {}
    for spec in specs:
        expanded.update(dict.fromkeys(_usable() if spec == ALL else [spec]))
    return list(expanded)


def listed_device(device: ListedDevice, server: AdbServer) -> FoundDevice:
    """A device that the adb server lists."""
    return FoundDevice(
        spec=f"adb:{device.serial}",
        state=device.state,
        model=device.model,
        through=server.name,
        reason="" if device.state == "device" else device.said,
    )


def usb_devices(*, claim: bool = True) -> list[FoundDevice]:
    """The devices with a debugging interface on USB.

    Args:
        claim: claim each for a moment, to see whether another program holds it.
    """
    try:
        from android_harness.adb.usb_transport import attached_devices
    except (ImportError, OSError):  # no libusb on this machine
        return []
    return [
        FoundDevice(
            spec=f"adb:{device.serial}",
            state=device.state,
            model=device.product,
            through="USB",
            reason=device.reason,
        )
        for device in attached_devices(claim=claim)
    ]


def _usable() -> list[str]:
    found = found_devices()
    usable = [device.spec for device in found if device.usable]
    if not usable:
        unusable = "; ".join(f"{device.spec} is {device.reason}" for device in found)
        raise NoDevicesError(
            "`all` stands for no device: "
            + (f"none can be used ({unusable})" if found else "none was found"),
            remedy="`fwdllm devices` lists what is found and what each needs; "
            "`adb connect HOST:PORT` adds a device on the network",
        )
    return usable
