"""Many devices: every task is done once or given up with a reason, whatever fails."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import (
    DeviceError,
    DeviceGoneError,
    DeviceTimeoutError,
    IncompleteRunError,
    NoSpaceError,
    RunnerFailedError,
    UnauthorizedError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.fleet.device_pool import run_tasks
from android_harness.fleet.device_worker import Patience
from android_harness.fleet.events import (
    DeviceBack,
    DeviceLost,
    DeviceSetAside,
    FleetEvent,
    TaskDone,
    TaskFailed,
    TaskStarted,
    TaskUndone,
)
from android_harness.fleet.task_queue import FleetTask, Report
from android_harness.target import Target
from android_harness.targets import adb_target
from android_harness.targets.open_target import open_target
from tests.android_harness.fleet.memory_device import QUICK, MemoryDevice
from tests.android_harness.waiting import HASTY


class Fleet:
    """Runs tasks on devices in memory and keeps what happened."""

    def __init__(self, *devices: MemoryDevice) -> None:
        self.devices = {device.name: device for device in devices}
        self.events: list[FleetEvent] = []

    def run(
        self, *tasks: FleetTask, patience: Patience = QUICK, measuring: bool = False
    ) -> list[FleetEvent]:
        run_tasks(
            tasks,
            list(self.devices),
            on_event=self.events.append,
            open_device=self.open,
            patience=patience,
            measuring=measuring,
        )
        assert all(device.closed == device.opened for device in self.devices.values())
        return self.events

    def open(self, name: str) -> Target:
        self.devices[name].open()
        return self.devices[name]

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def fails_with(error: Callable[[Target], Exception], *, times: int = 1 << 30) -> Callable:
    """Work that raises so often, then answers with its device."""
    left = [times]

    def work(target: Target, report: Report) -> str:
        if left[0]:
            left[0] -= 1
            raise error(target)
        return target.name

    return work


def gone(target: Target) -> Exception:
    return DeviceGoneError("the cable was pulled", device=target.name)


def refused(target: Target) -> Exception:
    return RunnerFailedError("no such example", device=target.name, phase="examples", file=None)


def succeed(target: Target, report: Report) -> str:
    return target.name


KINDS: list[Callable[[Target], Exception]] = [
    gone,
    refused,
    lambda target: IncompleteRunError("cut", device=target.name),
    lambda target: NoSpaceError("full", device=target.name),
    lambda target: ValueError("a bug"),
]


@given(
    devices=st.integers(1, 5),
    bindings=st.lists(st.integers(-6, 4), max_size=25),
    kernels=st.integers(1, 3),
    rates=st.tuples(st.floats(0, 0.5), st.floats(0, 1)),
    measuring=st.booleans(),
    seed=st.integers(0, 1 << 16),
)
def test_every_task_is_done_once_or_given_up_with_a_reason(
    devices: int,
    bindings: list[int],
    kernels: int,
    rates: tuple[float, float],
    measuring: bool,
    seed: int,
) -> None:
    fleet = Fleet(
        *(MemoryDevice(f"d{number}", boot_id=f"k{number % kernels}") for number in range(devices))
    )
    kernel_of = {name: int(name[1:]) % kernels for name in fleet.devices}
    chances = random.Random(seed)
    guard = threading.Lock()
    at_work: dict[str, str] = {}  # task: device
    overlaps: list[str] = []
    completions: Counter[str] = Counter()

    def work_of(name: str) -> Callable[[Target, Report], str]:
        def work(target: Target, report: Report) -> str:
            with guard:
                if name in at_work:
                    overlaps.append(f"{name} on two devices")
                busy = {kernel_of[device] for device in at_work.values()}
                if measuring and kernel_of[target.name] in busy:
                    overlaps.append(f"{target.name} beside its kernel's other devices")
                at_work[name] = target.name
                fault = chances.choice(KINDS) if chances.random() < rates[0] else None
                if fault is gone and chances.random() < rates[1]:
                    fleet.devices[target.name].lost_looks = chances.randrange(4)
                part = chances.randrange(3)
            try:
                report("half", part, 2)
                time.sleep(0)
                if fault is not None:
                    raise fault(target)
                with guard:
                    completions[name] += 1
                return f"{name} on {target.name}"
            finally:
                with guard:
                    del at_work[name]

        return work

    tasks = [
        FleetTask(f"t{number}", work_of(f"t{number}"), device=f"d{bound}")
        if 0 <= bound < devices
        else FleetTask(f"t{number}", work_of(f"t{number}"))
        for number, bound in enumerate(bindings)
    ]
    fleet.run(*tasks, measuring=measuring)

    assert not overlaps
    done, undone = fleet.of(TaskDone), fleet.of(TaskUndone)
    ends = Counter(event.task for event in [*done, *undone])
    assert ends == Counter(task.name for task in tasks)
    assert completions == Counter(event.task for event in done)
    assert all(event.result == f"{event.task} on {event.device}" for event in done)
    assert all(isinstance(event.error, Exception) for event in undone)
    bound_to = {task.name: task.device for task in tasks if task.device is not None}
    for event in fleet.of(TaskStarted):
        assert bound_to.get(event.task, event.device) == event.device
    # What starts, ends in one way.
    failed = Counter(event.task for event in fleet.of(TaskFailed))
    started = Counter(event.task for event in fleet.of(TaskStarted))
    for name in started:
        assert started[name] - failed[name] in ((0, 1) if name not in completions else (1,))


def test_free_devices_take_the_next_task() -> None:
    """One slow task holds up its own device only."""
    others_done = threading.Event()

    def slow(target: Target, report: Report) -> None:
        assert others_done.wait(10)

    def last(target: Target, report: Report) -> None:
        others_done.set()

    fleet = Fleet(MemoryDevice("a"), MemoryDevice("b"))
    fleet.run(FleetTask("slow", slow), FleetTask("next", succeed), FleetTask("last", last))

    assert {event.task for event in fleet.of(TaskDone)} == {"slow", "next", "last"}


def test_a_lost_device_comes_back_and_finishes_its_task() -> None:
    device = MemoryDevice("phone")

    def pulled_once(target: Target, report: Report) -> str:
        if not fleet.of(TaskFailed):
            device.lost_looks = 3
            raise gone(target)
        return "measured"

    fleet = Fleet(device)
    fleet.run(FleetTask("sweep", pulled_once, device="phone"))

    assert [event.result for event in fleet.of(TaskDone)] == ["measured"]
    assert len(fleet.of(DeviceLost)) == len(fleet.of(DeviceBack)) == 1


def test_a_device_that_stays_away_is_set_aside_and_the_others_go_on() -> None:
    away = MemoryDevice("away")

    def pulled(target: Target, report: Report) -> None:
        away.lost_looks = 1 << 30
        raise gone(target)

    fleet = Fleet(away, MemoryDevice("here"))
    fleet.run(
        FleetTask("its own", pulled, device="away"),
        FleetTask("its next", succeed, device="away"),
        *(FleetTask(f"any {number}", succeed) for number in range(5)),
        patience=Patience(lost_s=0.05, tries=3, first_pause_s=0.01, longest_pause_s=0.01),
    )

    (aside,) = fleet.of(DeviceSetAside)
    assert aside.device == "away"
    undone = {event.task: event for event in fleet.of(TaskUndone)}
    assert set(undone) == {"its own", "its next"}
    for event in undone.values():
        assert event.device == "away" and isinstance(event.error, DeviceGoneError)
        assert event.error.remedy
    assert len(fleet.of(TaskDone)) == 5


def test_a_task_goes_to_another_device_when_its_own_is_lost() -> None:
    away = MemoryDevice("away")
    began = threading.Event()

    def pulled(target: Target, report: Report) -> str:
        began.set()
        if target.name == "away":
            away.lost_looks = 1 << 30
            raise gone(target)
        return target.name

    def keep_the_other_busy(target: Target, report: Report) -> None:
        assert began.wait(10)

    fleet = Fleet(away, MemoryDevice("here"))
    fleet.run(
        FleetTask("busy", keep_the_other_busy, device="here"),
        FleetTask("moved", pulled),
        patience=Patience(lost_s=0.05, first_pause_s=0.01, longest_pause_s=0.01),
    )

    assert {event.task: event.device for event in fleet.of(TaskDone)}["moved"] == "here"


@pytest.mark.parametrize("kind", [refused, KINDS[4]])
def test_a_tasks_own_fault_is_not_repeated(kind: Callable[[Target], Exception]) -> None:
    fleet = Fleet(MemoryDevice("a"), MemoryDevice("b"))
    fleet.run(FleetTask("poisoned", fails_with(kind)))

    assert len(fleet.of(TaskStarted)) == len(fleet.of(TaskUndone)) == 1
    assert not fleet.of(DeviceSetAside)


@pytest.mark.parametrize("kind", KINDS)
def test_poisoned_tasks_leave_the_device_to_the_others(
    kind: Callable[[Target], Exception],
) -> None:
    """More of them than it takes to strike a device out, and all before the good ones."""
    fleet = Fleet(MemoryDevice("only"))
    poisoned = [FleetTask(f"poisoned {number}", fails_with(kind)) for number in range(9)]
    good = [FleetTask(f"good {number}", succeed) for number in range(9)]
    fleet.run(*poisoned, *good)

    assert {event.task for event in fleet.of(TaskUndone)} == {task.name for task in poisoned}
    assert {event.task for event in fleet.of(TaskDone)} == {task.name for task in good}


def test_a_device_on_which_everything_fails_is_set_aside() -> None:
    def work(target: Target, report: Report) -> str:
        if target.name == "broken":
            raise IncompleteRunError("it stopped", device=target.name)
        time.sleep(0.005)
        return target.name

    fleet = Fleet(MemoryDevice("broken"), MemoryDevice("sound"))
    fleet.run(*(FleetTask(f"t{number}", work) for number in range(20)))

    assert {event.device for event in fleet.of(TaskDone)} == {"sound"}
    assert len(fleet.of(TaskDone)) == 20
    assert [event.device for event in fleet.of(DeviceSetAside)] == ["broken"]
    assert isinstance(fleet.of(DeviceSetAside)[0].error, IncompleteRunError)


def test_what_a_device_cannot_do_as_it_is_goes_elsewhere_at_once() -> None:
    def work(target: Target, report: Report) -> str:
        if target.name == "full":
            raise NoSpaceError("no space left", device=target.name)
        return target.name

    fleet = Fleet(MemoryDevice("full"), MemoryDevice("empty", lost_looks=2))
    fleet.run(FleetTask("big", work), FleetTask("bound", work, device="full"))

    starts = Counter((event.task, event.device) for event in fleet.of(TaskStarted))
    assert max(starts.values()) == 1
    assert [(event.task, event.device) for event in fleet.of(TaskDone)] == [("big", "empty")]
    assert isinstance(fleet.of(TaskUndone)[0].error, NoSpaceError)


def test_progress_keeps_a_flaky_device_in_work() -> None:
    """A sweep that gets one job farther between two faults is not given up."""
    finished = [0]

    def one_job_then_lost(target: Target, report: Report) -> int:
        finished[0] += 1
        report("sweep", finished[0], 20)
        if finished[0] < 20:
            raise gone(target)
        return finished[0]

    fleet = Fleet(MemoryDevice("flaky"))
    fleet.run(FleetTask("sweep", one_job_then_lost))

    assert [event.result for event in fleet.of(TaskDone)] == [20]


def test_a_device_never_reached_is_tried_a_few_times_and_set_aside() -> None:
    fleet = Fleet(MemoryDevice("absent", lost_looks=1 << 30), MemoryDevice("late", lost_looks=2))
    fleet.run(FleetTask("a", succeed, device="absent"), FleetTask("b", succeed, device="late"))

    assert [event.task for event in fleet.of(TaskDone)] == ["b"]
    assert [event.device for event in fleet.of(DeviceSetAside)] == ["absent"]


def test_nobody_waits_for_a_device_that_only_its_user_can_unlock() -> None:
    looks = []

    def locked(name: str) -> Target:
        looks.append(name)
        raise UnauthorizedError("nobody accepted the key", device=name)

    events: list[FleetEvent] = []
    run_tasks([FleetTask("t", succeed)], ["phone"], on_event=events.append, open_device=locked)

    assert looks == ["phone"]
    (undone,) = (event for event in events if isinstance(event, TaskUndone))
    assert isinstance(undone.error, UnauthorizedError)


def test_another_device_in_a_lost_ones_place_gets_no_task() -> None:
    device = MemoryDevice("adb-tcp:10.0.0.7:5555")

    def replaced(target: Target, report: Report) -> None:
        device.serial = "somebody else's"
        raise gone(target)

    fleet = Fleet(device)
    fleet.run(
        FleetTask("sweep", replaced),
        patience=Patience(lost_s=0.02, first_pause_s=0.01, longest_pause_s=0.01),
    )

    assert len(fleet.of(TaskStarted)) == 1
    (undone,) = fleet.of(TaskUndone)
    assert "somebody else's answers in its place" in str(undone.error)


def test_devices_of_unknown_kernels_take_turns_when_measuring() -> None:
    at_once = threading.Barrier(2)

    def work(target: Target, report: Report) -> bool:
        try:
            at_once.wait(0.1)
        except threading.BrokenBarrierError:
            return False
        return True

    def pair(boot_id: str) -> list[bool]:
        at_once.reset()
        devices = [MemoryDevice(name, boot_id=boot_id) for name in ("a", "b")]
        fleet = Fleet(*devices)
        tasks = [FleetTask(device.name, work, device=device.name) for device in devices]
        fleet.run(*tasks, measuring=True)
        return [event.result for event in fleet.of(TaskDone)]

    assert pair(boot_id=" ") == [False, False]
    assert pair(boot_id="") == [True, True]


def test_a_display_that_fails_ends_the_run_with_its_error() -> None:
    def broken(event: FleetEvent) -> None:
        if isinstance(event, TaskDone):
            raise ZeroDivisionError

    fleet = Fleet(MemoryDevice("a"), MemoryDevice("b"))
    with pytest.raises(ZeroDivisionError):
        run_tasks(
            [FleetTask(f"t{number}", succeed) for number in range(4)],
            list(fleet.devices),
            on_event=broken,
            open_device=fleet.open,
            patience=QUICK,
        )


def test_ctrl_c_interrupts_every_device_and_waits_for_its_clean_up() -> None:
    """One works, one waits for a task, one is lost for ever."""
    devices = [MemoryDevice(name) for name in ("works", "waits", "lost")]
    fleet = Fleet(*devices)
    working = threading.Event()
    cleaned_up = []

    def work(target: Target, report: Report) -> None:
        working.set()
        fleet.devices[target.name].interrupted.wait()
        time.sleep(0.2)
        cleaned_up.append(target.name)
        raise DeviceError("the link was broken on purpose", device=target.name)

    def lose(target: Target, report: Report) -> None:
        fleet.devices["lost"].lost_looks = 1 << 30
        raise gone(target)

    def press_ctrl_c() -> None:
        assert working.wait(10)
        while not fleet.of(DeviceLost):
            time.sleep(0.001)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threads = threading.active_count()
    finger = threading.Thread(target=press_ctrl_c)
    finger.start()
    with pytest.raises(KeyboardInterrupt):
        fleet.run(
            FleetTask("works", work, device="works"),
            FleetTask("any", work),
            FleetTask("lost", lose, device="lost"),
            patience=Patience(lost_s=600, first_pause_s=60, longest_pause_s=60),
        )
    finger.join()

    assert set(cleaned_up) == {event.device for event in fleet.of(TaskStarted)} - {"lost"}
    assert threading.active_count() == threads
    assert not fleet.of(TaskDone) and not fleet.of(TaskUndone)
    assert all(device.closed for device in devices)


def test_a_task_for_an_unknown_device_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the fleet"):
        Fleet(MemoryDevice("a")).run(FleetTask("t", succeed, device="b"))


def test_no_tasks_are_done_at_once() -> None:
    assert not [event for event in Fleet(MemoryDevice("a")).run() if isinstance(event, TaskStarted)]


@pytest.mark.usefixtures("private_home")
def test_a_phone_that_freezes_does_not_hold_the_fleet_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts the first command and never says how that ended."""
    monkeypatch.setattr(adb_target, "_ANSWER_TIMEOUT_S", 0.5)
    events: list[FleetEvent] = []
    with FakePhone(faults=Faults(stall_after_bytes=120)) as frozen, FakePhone() as sound:
        phones = [frozen.target, sound.target]
        run_tasks(
            [FleetTask(phone, succeed, device=phone) for phone in phones],
            phones,
            on_event=events.append,
            open_device=lambda spec: open_target(spec, timeouts=HASTY),
            patience=Patience(tries=1),
        )

    (done,) = (event for event in events if isinstance(event, TaskDone))
    (undone,) = (event for event in events if isinstance(event, TaskUndone))
    assert (done.task, undone.task) == (sound.target, frozen.target)
    assert isinstance(undone.error, DeviceTimeoutError)
