"""Whose fault a failure is: what may be tried again, and where."""

from __future__ import annotations

from typing import Literal

from android_harness.errors import (
    AmbiguousDeviceError,
    DeviceBusyError,
    DeviceError,
    DeviceForbiddenError,
    MissingProgramError,
    NoSpaceError,
    NotExecutableError,
    PermissionDeniedError,
    RunnerFailedError,
    RunnerMissingError,
    SettingsHeldError,
    UnauthorizedError,
    UnsupportedDeviceError,
    WrongAbiError,
)

# task: it would fail anywhere. pairing: not this task on this device before somebody has changed
# something. chance: another attempt may go well.
Blame = Literal["task", "pairing", "chance"]

_NEEDS_SOMEBODY = (
    AmbiguousDeviceError,
    DeviceBusyError,
    DeviceForbiddenError,
    MissingProgramError,
    NoSpaceError,
    NotExecutableError,
    PermissionDeniedError,
    RunnerMissingError,
    SettingsHeldError,
    UnauthorizedError,
    UnsupportedDeviceError,
    WrongAbiError,
)


def blame_for(error: BaseException) -> Blame:
    """Judges what a task raised on a device.

    A runner that gives a reason, bad settings and programming errors are the task's own fault. A
    broken link, a killed runner or a damaged file may be anybody's.
    """
    if not isinstance(error, DeviceError) or isinstance(error, RunnerFailedError):
        return "task"
    return "pairing" if isinstance(error, _NEEDS_SOMEBODY) else "chance"
