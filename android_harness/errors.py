"""What can go wrong with a device, told apart; every error names its device and a remedy."""

from __future__ import annotations

from pathlib import Path

from exporters.errors import FwdllmError


class DeviceError(FwdllmError):
    """Something failed on, or on the way to, a device.

    Args:
        device: the target, e.g. `adb-tcp:127.0.0.1:5555`.
        command: the command that was running on the device, when one was.
    """

    default_remedy = ""

    def __init__(
        self,
        message: str,
        *,
        device: str,
        command: str = "",
        remedy: str = "",
        file: Path | str | None = None,
    ) -> None:
        where = f"{device}: {message}" + (f" (command: {command})" if command else "")
        super().__init__(where, remedy=remedy or self.default_remedy, file=file)
        self.device = device
        self.command = command


class TargetSyntaxError(FwdllmError):
    """A --target value that is none of local, adb:SERIAL, adb-tcp:HOST:PORT."""


# Reaching the device.


class UnauthorizedError(DeviceError):
    """The device answers but has not accepted this machine's key."""

    default_remedy = "unlock the device and accept the USB debugging prompt, then try again"


class DeviceBusyError(DeviceError):
    """Another program, usually an adb server, holds the USB interface."""

    default_remedy = (
        "stop the adb server with `adb kill-server`, or run `adb tcpip 5555` "
        "and use --target adb-tcp:HOST:5555"
    )


class DeviceGoneError(DeviceError):
    """The connection ended, or never came about: cable, network, reboot or a killed daemon."""

    default_remedy = "check the cable or network and that debugging is on, then run it again"


class DeviceTimeoutError(DeviceError):
    """The device is connected and silent for too long."""

    default_remedy = "unlock the device and look whether it is frozen or overheated, then try again"


class DeviceProtocolError(DeviceError):
    """What answered does not speak ADB as documented."""

    default_remedy = "check that the address is a device's debugging port"


class UnsupportedDeviceError(DeviceError):
    """The device lacks something that the harness cannot do without."""


class ServiceRefusedError(DeviceError):
    """The device's daemon refused to open a service."""

    default_remedy = "reboot the device; if it repeats, its build does not offer this service"


# Files on the device.


class TransferError(DeviceError):
    """A file could not be moved to or from the device; the device's own words are carried."""


class NoSpaceError(TransferError):
    """The device's storage is full."""

    default_remedy = "free some space on the device, then run it again"


class PermissionDeniedError(TransferError):
    """The device's shell user may not read or write there."""

    default_remedy = "use a folder that the shell user owns, such as /data/local/tmp"


class MissingFileError(TransferError):
    """There is no such file on the device, or on this machine."""

    default_remedy = "run the command again from its start; files of earlier runs may be gone"


class PushVerificationError(TransferError):
    """The content on the device differs from what was sent."""

    default_remedy = "push again; if it repeats, suspect the cable or the device's storage"


# Programs on the device.


class CommandFailedError(DeviceError):
    """A command that the harness relies on ended with a non-zero exit code."""


class MissingProgramError(CommandFailedError):
    """Exit code 127: the program is not on the device."""

    default_remedy = "install the program on the device, or use a newer Android"


class NotExecutableError(CommandFailedError):
    """Exit code 126: no execute permission, a noexec mount, or not a program for this device."""

    default_remedy = (
        "use a folder that allows execution, such as /data/local/tmp, and a runner for this ABI"
    )


class WrongAbiError(DeviceError):
    """The runner was built for another processor; found in its ELF header before the push."""

    default_remedy = "build it for the device with `fwdllm runner build --abi ABI`"


class RunnerMissingError(DeviceError):
    """There is no runner for the device's ABI on this machine."""


class RunnerKilledError(DeviceError):
    """A signal ended the runner.

    Attributes:
        signal: its number; 9 is what the low-memory killer sends.
    """

    default_remedy = "use a smaller batch or model if memory was short, then run it again"

    def __init__(self, message: str, *, device: str, signal: int) -> None:
        super().__init__(message, device=device)
        self.signal = signal


class RunnerFailedError(DeviceError):
    """The native runner refused its job or failed in it, and said why."""

    def __init__(self, message: str, *, device: str, phase: str, file: str | None) -> None:
        super().__init__(f"runner, {phase}: {message}", device=device, file=file)
        self.phase = phase


class IncompleteRunError(DeviceError):
    """The runner's records end before their `end`: the process died or the link broke."""

    default_remedy = (
        "run it again; if it repeats, look for the low-memory killer in the device's log"
    )


class DeviceRebootedError(DeviceError):
    """The device booted anew while a run was under way; what the run had done is lost."""

    default_remedy = (
        "run it again; if it repeats, look whether the device overheats or its battery is low"
    )


class RunStoppedError(DeviceError):
    """A run was stopped on purpose: this process was told to end, or somebody stopped it there."""

    default_remedy = "run it again"
