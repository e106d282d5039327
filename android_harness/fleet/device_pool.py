"""Tasks over many devices at once: every free one takes the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from android_harness.fleet.device_worker import DeviceWorker, Patience
from android_harness.fleet.events import FleetEvent
from android_harness.fleet.task_queue import FleetTask, TaskQueue
from android_harness.target import Target
from android_harness.targets.open_target import open_target

_STOP_S = 30.0  # for all devices together to stop what they do


def run_tasks(
    tasks: Sequence[FleetTask],
    devices: Sequence[str],
    *,
    on_event: Callable[[FleetEvent], None],
    open_device: Callable[[str], Target] = open_target,
    patience: Patience | None = None,
    measuring: bool = False,
) -> None:
    """Does each task once, on a device that is free; returns when all are done or given up.

    A device has a thread of its own. One that is lost gets its task back or another does it;
    one that fails again and again is set aside. What a task raises is no error here, but an event.

    Args:
        devices: what `open_device` takes, without repetition.
        on_event: told all that happens, results included; from the devices' threads, one call at
            a time.
        measuring: devices on one kernel, such as this machine and fake phones on it, take turns,
            because they disturb each other's times. Those whose kernel is unknown also do.

    Raises:
        ValueError: there is no device, or none of the name that a task asks for.
        KeyboardInterrupt: Ctrl-C; the runs on all devices were stopped first, as far as those
            answer within half a minute.
    """
    if not devices:
        raise ValueError("a fleet needs a device")
    patience = patience or Patience()
    queue = TaskQueue(tasks, devices, tries=patience.tries, take_turns=measuring)
    stopped, one_at_a_time = threading.Event(), threading.Lock()
    crashes: list[BaseException] = []

    def emit(event: FleetEvent) -> None:
        with one_at_a_time:
            on_event(event)

    def stop() -> None:
        stopped.set()
        queue.stop()
        for worker in workers:
            worker.interrupt()

    def crashed(error: BaseException) -> None:
        crashes.append(error)
        stop()

    workers = [
        DeviceWorker(
            device,
            queue,
            open_device=open_device,
            patience=patience,
            emit=emit,
            stopped=stopped,
            crashed=crashed,
        )
        for device in devices
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.wait()
    except BaseException:
        stop()
        end = time.monotonic() + _STOP_S
        for worker in workers:
            worker.wait(max(0.0, end - time.monotonic()))
        raise
    if crashes:
        raise crashes[0]
