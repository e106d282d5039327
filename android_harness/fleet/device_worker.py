"""One device of a fleet: it is reached, takes tasks, and fails without the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from android_harness.errors import OtherDeviceError
from android_harness.facts.identity import DeviceIdentity, read_identity
from android_harness.fleet.blame import blame_for
from android_harness.fleet.events import (
    DeviceBack,
    DeviceLost,
    DeviceReady,
    DeviceSetAside,
    FleetEvent,
    TaskDone,
    TaskFailed,
    TaskProgress,
    TaskStarted,
    TaskUndone,
)
from android_harness.fleet.task_queue import FleetTask, TaskQueue
from android_harness.target import Target

_LOOK_S = 1.0  # how long one look for a lost device takes at most, beyond its time-outs


@dataclass(frozen=True)
class Patience:
    """How much a fleet puts up with.

    Attributes:
        lost_s: how long a device that was there is looked for after it was lost.
        tries: attempts to reach a device the first time; failures in a row that brought nothing,
            after which a task is given up, and of different tasks, after which a device is.
        first_pause_s, longest_pause_s: between looks for a device; each pause is twice the last.
    """

    lost_s: float = 600.0
    tries: int = 3
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0


class DeviceWorker:
    """Serves one device in a thread of its own.

    Args:
        device: its name, from which `open_device` makes a target.
        emit: is told what happens.
        stopped: set when the fleet is interrupted.
        crashed: is told of an error that no task raised: of `emit`, or of this code.
    """

    def __init__(
        self,
        device: str,
        queue: TaskQueue,
        *,
        open_device: Callable[[str], Target],
        patience: Patience,
        emit: Callable[[FleetEvent], None],
        stopped: threading.Event,
        crashed: Callable[[BaseException], None],
    ) -> None:
        self.device = device
        self._queue = queue
        self._open_device = open_device
        self._patience = patience
        self._emit = emit
        self._stopped = stopped
        self._crashed = crashed
        self._target: Target | None = None
        self._identity: DeviceIdentity | None = None  # once the device has answered
        self._failure: BaseException | None = None  # of the last task, if it failed
        self._thread = threading.Thread(target=self._live, name=f"fleet {device}", daemon=True)
        # Not `Thread.join`: interrupted once, Python 3.11 takes the thread for ended.
        self._ended = threading.Event()

    def start(self) -> None:
        """Takes tasks until there are no more for this device, or it is set aside."""
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits until the thread has ended, or for so long."""
        if self._thread.ident is not None and self._ended.wait(timeout_s):
            self._thread.join()

    def interrupt(self) -> None:
        """Ends what the device does for its task, as Ctrl-C would."""
        if self._target is not None and self._thread.ident is not None:
            self._target.interrupt(self._thread.ident)

    def _live(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            if not self._stopped.is_set():
                self._crashed(error)
        finally:
            self._ended.set()

    def _serve(self) -> None:
        try:
            while (target := self._reached()) is not None:
                assert self._identity is not None
                task = self._queue.take(self.device, self._identity.boot_id)
                if task is None:
                    return
                self._attempt(task, target)
        finally:
            if self._target is not None:
                self._target.close()

    def _attempt(self, task: FleetTask, target: Target) -> None:
        def report(
            stage: str,
            done: int,
            total: int,
            detail: str = "",
            celsius: float | None = None,
            left_s: tuple[float, float] | None = None,
        ) -> None:
            self._queue.reached(self.device, stage, done)
            self._emit(
                TaskProgress(self.device, task.name, stage, done, total, detail, celsius, left_s)
            )

        self._emit(TaskStarted(self.device, task.name))
        try:
            result = task.work(target, report)
        except BaseException as error:
            if self._stopped.is_set():
                return  # interrupted: neither done nor failed
            self._failure = error
            again = self._queue.failed(self.device, error)
            kind = TaskFailed if again else TaskUndone
            self._emit(kind(self.device, task.name, error))
            return
        self._failure = None
        self._queue.done(self.device)
        self._emit(TaskDone(self.device, task.name, result))

    def _reached(self) -> Target | None:
        """The target, once the device answers; None when it is set aside or the fleet stops."""
        if self._failure is not None and self._queue.is_struck_out(self.device):
            self._set_aside(self._failure)
            return None
        if self._failure is None and self._identity is not None:
            return self._target
        begin, looks, pause_s = time.monotonic(), 0, self._patience.first_pause_s
        known = self._identity is not None
        while not self._stopped.is_set():
            try:
                self._look()
            except Exception as error:
                looks += 1
                if self._stopped.is_set():
                    break
                if known and looks == 1:
                    self._emit(DeviceLost(self.device, error))
                if known:
                    late = time.monotonic() + pause_s > begin + self._patience.lost_s
                else:  # it may be a wrong name, or asleep: better said at once
                    late = looks >= self._patience.tries or blame_for(error) == "pairing"
                if late or blame_for(error) == "task":
                    self._set_aside(error)
                    return None
                self._stopped.wait(pause_s)
                pause_s = min(2 * pause_s, self._patience.longest_pause_s)
            else:
                if looks > 0 and known:
                    self._emit(DeviceBack(self.device, time.monotonic() - begin))
                return self._target
        return None

    def _look(self) -> None:
        """Opens the device, or finds that it answers again, as the device that it was.

        Raises:
            FwdllmError: it does not, or another one answers in its place.
        """
        if self._target is None:
            self._target = self._open_device(self.device)
        else:
            self._target.wait_for(timeout_s=_LOOK_S)
        identity = read_identity(self._target)
        if self._identity is None:
            self._emit(DeviceReady(self.device, identity))
        elif identity.serial != self._identity.serial:
            raise OtherDeviceError(
                f"{identity.serial} answers in its place",
                device=self.device,
                remedy="give the device its address back, or name it by another target",
            )
        self._identity = identity

    def _set_aside(self, reason: BaseException) -> None:
        self._emit(DeviceSetAside(self.device, reason))
        for task in self._queue.set_aside(self.device):
            self._emit(TaskUndone(task.device, task.name, reason))
