"""What happens in a fleet, as it happens: for displays and logs, and to collect results.

Of each task comes exactly one `TaskDone` or `TaskUndone`, unless the fleet is interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from android_harness.facts.identity import DeviceIdentity


@dataclass(frozen=True)
class DeviceReady:
    """The device answers for the first time."""

    device: str
    identity: DeviceIdentity


@dataclass(frozen=True)
class DeviceLost:
    """The device does not answer; it is looked for until patience ends."""

    device: str
    error: BaseException


@dataclass(frozen=True)
class DeviceBack:
    """A lost device answers again."""

    device: str
    lost_s: float


@dataclass(frozen=True)
class DeviceSetAside:
    """The device gets no more tasks, for the reason given; the others go on."""

    device: str
    error: BaseException


@dataclass(frozen=True)
class TaskStarted:
    """The device took the task."""

    device: str
    task: str


@dataclass(frozen=True)
class TaskProgress:
    """How far the task is in the stage that it is in.

    Attributes:
        detail: what it does now, in words; may be empty.
        celsius: how warm the device is; None: unknown.
        left_s: seconds until the stage is done, at the earliest and at the latest; None: unknown.
    """

    device: str
    task: str
    stage: str
    done: int
    total: int
    detail: str = ""
    celsius: float | None = None
    left_s: tuple[float, float] | None = None


@dataclass(frozen=True)
class TaskFailed:
    """An attempt failed; another follows, there or elsewhere."""

    device: str
    task: str
    error: BaseException


@dataclass(frozen=True)
class TaskDone:
    """The task's one result."""

    device: str
    task: str
    result: Any


@dataclass(frozen=True)
class TaskUndone:
    """The task has no result and will have none.

    Attributes:
        device: the device on which it failed last, or that alone could have done it and was set
            aside; None: no device was left when its turn came.
    """

    device: str | None
    task: str
    error: BaseException


FleetEvent = (
    DeviceReady
    | DeviceLost
    | DeviceBack
    | DeviceSetAside
    | TaskStarted
    | TaskProgress
    | TaskFailed
    | TaskDone
    | TaskUndone
)
