"""What is left to do, and who may do it: devices pull from here when they are free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from android_harness.fleet.blame import blame_for
from android_harness.target import Target


class Report(Protocol):
    """How a task says how far it is; see `TaskProgress`."""

    def __call__(
        self,
        stage: str,
        done: int,
        total: int,
        detail: str = "",
        celsius: float | None = None,
        left_s: tuple[float, float] | None = None,
        /,
    ) -> None: ...


@dataclass(frozen=True)
class FleetTask:
    """Something to be done once, on one device of a fleet.

    Attributes:
        name: for messages.
        work: does it on the target that it is given, in that device's thread. It may be called
            again after a failure, on this device or another, and then goes on or begins anew.
        device: the only device that may do it; None: any.
    """

    name: str
    work: Callable[[Target, Report], Any]
    device: str | None = None


@dataclass(eq=False)
class _Entry:
    task: FleetTask
    failures: int = 0  # in a row, without getting farther than before
    failed_on: set[str] = field(default_factory=set)
    unfit: set[str] = field(default_factory=set)  # devices that cannot do it as they are
    stages: dict[str, int] = field(default_factory=dict)  # the farthest it got in each


class TaskQueue:
    """Hands each task to one device at a time until it is done or cannot be; thread-safe.

    Tasks are taken in order; one that failed comes first again, and is left to the devices on
    which it did not fail, also to those that are lost for now, while there are any.

    Args:
        devices: the names of those that will take tasks.
        tries: a task that failed so often in a row, and got no farther, is given up. A device is
            struck out by so many different tasks that failed there in a row and are not given up.
        take_turns: devices of one kernel disturb each other's times, so of these only one has a
            task at a time.

    Raises:
        ValueError: a task is for a device that is not there.
    """

    def __init__(
        self, tasks: Sequence[FleetTask], devices: Iterable[str], *, tries: int, take_turns: bool
    ) -> None:
        self._tries = tries
        self._take_turns = take_turns
        self._waiting = [_Entry(task) for task in tasks]
        self._running: dict[str, _Entry] = {}  # by device
        self._kernels: dict[str, Hashable] = {}  # of the devices that have a task
        self._strikes: dict[str, set[_Entry]] = {device: set() for device in devices}
        self._set_aside: set[str] = set()
        self._changed = threading.Condition()
        self._stopped = False
        for task in tasks:
            if task.device is not None and task.device not in self._strikes:
                raise ValueError(f"{task.name} is for {task.device}, which is not in the fleet")

    def take(self, device: str, kernel: Hashable) -> FleetTask | None:
        """The next task for a device that has none; waits while one may still come.

        Args:
            kernel: the same for all devices that must not work at the same time.

        Returns:
            None when no task can come any more, or after `stop`.
        """
        with self._changed:
            while not self._stopped:
                if not self._take_turns or kernel not in self._kernels.values():
                    if (entry := self._next_for(device)) is not None:
                        self._waiting.remove(entry)
                        self._running[device] = entry
                        self._kernels[device] = kernel
                        return entry.task
                    left = (*self._waiting, *self._running.values())
                    if not any(_fits(entry, device) for entry in left):
                        return None
                self._changed.wait()
            return None

    def reached(self, device: str, stage: str, done: int) -> None:
        """The device's task got so far. A failure after new progress is the first in a row."""
        with self._changed:
            entry = self._running[device]
            if done > entry.stages.get(stage, 0):
                entry.stages[stage] = done
                entry.failures = 0
                self._strikes[device].clear()

    def done(self, device: str) -> None:
        """The device's task has its result."""
        with self._changed:
            self._release(device)
            self._strikes[device].clear()

    def failed(self, device: str, error: BaseException) -> bool:
        """The device's task failed. Whether it will be tried again."""
        with self._changed:
            entry = self._release(device)
            blame = blame_for(error)
            entry.failures += 1
            entry.failed_on.add(device)
            if blame == "pairing":
                entry.unfit.add(device)
            again = blame != "task" and entry.failures < self._tries and bool(self._able(entry))
            if again:
                self._strikes[device].add(entry)
                self._waiting.insert(0, entry)
            else:
                for strikes in self._strikes.values():
                    strikes.discard(entry)
            return again

    def is_struck_out(self, device: str) -> bool:
        """Whether so many tasks failed on the device in a row that it is to blame."""
        with self._changed:
            return len(self._strikes[device]) >= self._tries

    def set_aside(self, device: str) -> list[FleetTask]:
        """Gives no more tasks to a device that has none; the tasks for which nobody is left."""
        with self._changed:
            self._set_aside.add(device)
            orphans = [entry for entry in self._waiting if not self._able(entry)]
            self._waiting = [entry for entry in self._waiting if entry not in orphans]
            self._changed.notify_all()
            return [entry.task for entry in orphans]

    def stop(self) -> None:
        """Hands out no more tasks."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next_for(self, device: str) -> _Entry | None:
        for entry in self._waiting:
            able = self._able(entry)
            if device in able and (
                device not in entry.failed_on or entry.failed_on.issuperset(able)
            ):
                return entry
        return None

    def _release(self, device: str) -> _Entry:
        del self._kernels[device]
        self._changed.notify_all()
        return self._running.pop(device)

    def _able(self, entry: _Entry) -> list[str]:
        """The devices that may still do the task."""
        here = (device for device in self._strikes if device not in self._set_aside)
        return [device for device in here if _fits(entry, device)]


def _fits(entry: _Entry, device: str) -> bool:
    return entry.task.device in (None, device) and device not in entry.unfit
