"""What can go wrong with a device, told apart; every error names its device and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from exporters.errors import FwdllmError

# adb's own words for the states of a device, and three more: `busy` (another program holds it),
# `silent` (connected and not answering) and `absent`.
DeviceState = Literal[
    "device",
    "offline",
    "connecting",
    "authorizing",
    "unauthorized",
    "no permissions",
    "bootloader",
    "recovery",
    "sideload",
    "rescue",
    "busy",
    "silent",
    "absent",
    "unknown",
]


class DeviceError(FwdllmError):
    """Something failed on, or on the way to, a device.

    Args:
        device: the target, e.g. `adb-tcp:127.0.0.1:5555`.
        command: the command that was running on the device, when one was.
        phase: what the harness was doing: connecting, authorising, opening, pushing, running, ...

    Attributes:
        state: the state of a device of which one learns this.
    """

    default_remedy = ""
    state: ClassVar[DeviceState] = "unknown"

    def __init__(
        self,
        message: str,
        *,
        device: str,
        command: str = "",
        phase: str = "",
        remedy: str = "",
        file: Path | str | None = None,
    ) -> None:
        details = [f"while {phase}"] * bool(phase) + [f"command: {command}"] * bool(command)
        where = f"{device}: {message}" + (f" ({', '.join(details)})" if details else "")
        super().__init__(where, remedy=remedy or self.default_remedy, file=file)
        self.device = device
        self.command = command
        self.phase = phase


class TargetSyntaxError(FwdllmError):
    """A --target value that is none of local, adb:SERIAL, adb-tcp:HOST:PORT."""


class NoDevicesError(FwdllmError):
    """A target stands for the devices that are found, and none was found."""


class ServerAddressError(FwdllmError):
    """The environment names an adb server's address that is none."""


# Reaching the device.


class UnauthorizedError(DeviceError):
    """The device answers but has not accepted this machine's key."""

    default_remedy = "unlock the device and accept the USB debugging prompt, then try again"
    state = "unauthorized"


class DeviceForbiddenError(DeviceError):
    """This machine's user may not open the device on USB."""

    default_remedy = (
        "add a udev rule for the device (Debian: android-sdk-platform-tools-common), then plug it "
        "in anew"
    )
    state = "no permissions"


class DeviceBusyError(DeviceError):
    """Another program holds the USB interface, and it is no adb server that answers here."""

    default_remedy = (
        "an adb server on another port may hold it: name it in ANDROID_ADB_SERVER_PORT, or end it "
        "with `adb kill-server`; or run `adb tcpip 5555` and use --target adb-tcp:HOST:5555"
    )
    state = "busy"


class DeviceOfflineError(DeviceError):
    """The adb server knows the device and has no working connection to it (yet)."""

    default_remedy = (
        "wait some seconds; if it stays so, `adb reconnect offline`, or plug the device in anew"
    )
    state = "offline"


class NotAndroidError(DeviceError):
    """The device runs its bootloader, a recovery or a sideload instead of Android."""

    default_remedy = "start Android on the device, e.g. with `adb reboot`"


class AmbiguousDeviceError(DeviceError):
    """More than one device fits."""

    default_remedy = "name one by --target adb:SERIAL, or by ANDROID_SERIAL; `fwdllm devices` lists"


class DeviceGoneError(DeviceError):
    """The connection ended, or never came about: cable, network, reboot or a killed daemon."""

    default_remedy = "check the cable or network and that debugging is on, then run it again"
    state = "absent"


class DeviceTimeoutError(DeviceError):
    """The device is connected and silent for too long."""

    default_remedy = "unlock the device and look whether it is frozen or overheated, then try again"
    state = "silent"


# Of a link that may come back: what was being done can be tried again.
LOST = (DeviceGoneError, DeviceOfflineError, DeviceTimeoutError)


class DeviceProtocolError(DeviceError):
    """What answered does not speak ADB as documented."""

    default_remedy = "check that the address is a device's debugging port"


class UnsupportedDeviceError(DeviceError):
    """The device lacks something that the harness cannot do without."""


class ServiceRefusedError(DeviceError):
    """The device's daemon refused to open a service."""

    default_remedy = "reboot the device; if it repeats, its build does not offer this service"


class DeviceInUseError(DeviceError):
    """Runs of this project are under way on the device and need what is there."""

    default_remedy = "wait until they have ended, or stop them"


# Files on the device.


class TransferError(DeviceError):
    """A file could not be moved to or from the device; the device's own words are carried."""


class NoSpaceError(TransferError):
    """The device's storage is full."""

    default_remedy = (
        "free some space on the device, then run it again; `fwdllm clean --target TARGET` shows "
        "what this project keeps there"
    )


class PermissionDeniedError(TransferError):
    """The device's shell user may not read or write there."""

    default_remedy = "use a folder that the shell user owns, such as /data/local/tmp"


class MissingFileError(TransferError):
    """There is no such file on the device, or on this machine."""

    default_remedy = "run the command again from its start; files of earlier runs may be gone"


class PushVerificationError(TransferError):
    """The content on the device differs from what was sent."""

    default_remedy = "push again; if it repeats, suspect the cable or the device's storage"


# Settings that a run changes on the device.


class SettingsHeldError(DeviceError):
    """Another run holds the device's settings."""

    default_remedy = "wait for that run to end, or stop it; it restores what it changed"


class SettingsJournalError(FwdllmError):
    """The file that tells a device's settings from before a run cannot be read."""

    def __init__(self, message: str, *, file: Path) -> None:
        super().__init__(
            message,
            remedy="set what it tells as `before` by hand on the device, then remove the file",
            file=file,
        )


class OtherDeviceError(DeviceError):
    """The target leads to another device than the one meant, such as whose settings to restore."""

    default_remedy = "connect that device and run `fwdllm restore --target` with where it is now"


class SettingsNotRestoredError(DeviceError):
    """A run is over and some of what it changed on the device is still changed."""

    default_remedy = "connect the device and run `fwdllm restore`"


# Programs on the device.

_LESSER_VARIANT = "set FWDLLM_RUNNER_VARIANT to a lesser variant of the runner, such as baseline"


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


class ExecutionDeniedError(NotExecutableError):
    """The file's mode allows to run it, and SELinux or a noexec mount does not."""

    default_remedy = (
        "use a folder where the shell user may run programs, such as /data/local/tmp; "
        "`adb shell dmesg | grep avc` shows what SELinux denied"
    )


class CommandKilledError(CommandFailedError):
    """A signal ended the command.

    Attributes:
        signal: its number; 9 is what the low-memory killer sends.
    """

    default_remedy = "free memory on the device if it was short of it, then run it again"

    def __init__(self, message: str, *, device: str, command: str, signal: int) -> None:
        super().__init__(message, device=device, command=command, phase="running")
        self.signal = signal


class WrongAbiError(DeviceError):
    """A program is built for another processor or another loader: by its ELF header, or by what
    the device says.
    """

    default_remedy = "build it for the device with `fwdllm runner build --abi ABI`"


class RunnerMissingError(DeviceError):
    """There is no runner for the device on this machine."""

    default_remedy = "build it with `fwdllm runner build`"


class RunnerKilledError(DeviceError):
    """A signal ended the runner.

    Attributes:
        signal: its number; 9 is what the low-memory killer sends, 4 what an instruction leads to
            that the processor does not have.
    """

    default_remedy = "use a smaller batch or model if memory was short, then run it again"

    def __init__(self, message: str, *, device: str, signal: int) -> None:
        illegal = signal == 4
        message += ", an instruction that the processor does not have" if illegal else ""
        super().__init__(message, device=device, remedy=_LESSER_VARIANT if illegal else "")
        self.signal = signal


class RunnerFailedError(DeviceError):
    """The native runner refused its job or failed in it, and said why."""

    def __init__(self, message: str, *, device: str, phase: str, file: str | None) -> None:
        remedy = _LESSER_VARIANT if phase == "processor" else ""
        super().__init__(f"runner, {phase}: {message}", device=device, remedy=remedy, file=file)
        self.phase = phase


class NotFiniteError(RunnerFailedError):
    """A loss or a slope came out as no finite number, and the runner did not object."""

    def __init__(self, *, device: str) -> None:
        super().__init__("a number is not finite", device=device, phase="compute", file=None)


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
