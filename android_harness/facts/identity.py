"""Which device a target leads to, whatever the way, and whether it has booted since."""

from __future__ import annotations

from dataclasses import dataclass

from android_harness.target import Target

_ANSWER_TIMEOUT_S = 15.0
_SCRIPT = "getprop ro.serialno 2>/dev/null; echo; cat /proc/sys/kernel/random/boot_id 2>/dev/null"


@dataclass(frozen=True)
class DeviceIdentity:
    """A device and its current boot.

    Attributes:
        serial: Android's ro.serialno; the target's name where the device does not tell one.
        boot_id: new at each boot, and the same for all targets on one kernel, such as this
            machine and the fake phones on it; None: unknown.
    """

    serial: str
    boot_id: str | None


def read_identity(target: Target) -> DeviceIdentity:
    """Asks the device.

    Raises:
        DeviceError: the device cannot be asked.
    """
    said = target.run(["sh", "-c", _SCRIPT], timeout_s=_ANSWER_TIMEOUT_S).stdout.decode(
        errors="replace"
    )
    serial, _, boot_id = said.strip("\n").rpartition("\n")
    return DeviceIdentity(serial.strip() or target.name, boot_id.strip() or None)
