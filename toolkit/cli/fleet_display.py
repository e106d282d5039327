"""What a fleet is doing: a live table on a terminal, and a line for each event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten

from rich.live import Live
from rich.markup import escape
from rich.table import Table

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
from exporters.errors import FwdllmError
from toolkit.cli.clock_times import span_text
from toolkit.cli.console import err

JOBS = "jobs"  # the stage whose steps are counted and timed; other stages show how full they are

_LONGEST_MESSAGE = 100


@dataclass
class _Row:
    """What is known of one device."""

    state: str = "connecting"
    now: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    begin_done: int = 0  # when its stage began
    begin_s: float = 0.0
    celsius: float | None = None
    left_s: tuple[float, float] | None = None  # at `told_s`
    told_s: float = 0.0
    last_error: str = ""

    @property
    def progress(self) -> str:
        if self.stage == JOBS:
            return f"{self.done}/{self.total}"
        return f"{self.done / self.total:.0%}" if self.total else ""

    @property
    def per_minute(self) -> float | None:
        """Jobs a minute since the device began with them; None before the first."""
        if self.stage != JOBS or self.done <= self.begin_done:
            return None
        return 60 * (self.done - self.begin_done) / (time.monotonic() - self.begin_s)

    @property
    def left(self) -> str:
        """The time that is left by now; empty: unknown."""
        if self.left_s is None:
            return ""
        since = time.monotonic() - self.told_s
        return span_text((max(self.left_s[0] - since, 0), max(self.left_s[1] - since, 0)))


class FleetDisplay:
    """Keeps a row for each device, from the events that it is called with."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._rows = {device: _Row() for device in devices}

    def __call__(self, event: FleetEvent) -> str | None:
        """Takes the event in; the line that tells of it, where it is worth one."""
        assert event.device is not None  # each task here is for one device
        row = self._rows[event.device]
        match event:
            case DeviceReady():
                row.state, said = "waiting", "answers"
            case DeviceLost(error=error):
                row.state, row.last_error = "lost", message_of(error, event.device)
                said = f"lost, is looked for: {row.last_error}"
            case DeviceBack(lost_s=lost_s):
                row.state, said = "waiting", f"is back after {lost_s:.0f} s"
            case DeviceSetAside(error=error):
                row.state, row.now, row.last_error = (
                    "set aside",
                    "",
                    message_of(error, event.device),
                )
                said = f"set aside: {row.last_error}"
            case TaskStarted():
                row.state = "working"
                return None
            case TaskProgress():
                return self._progressed(row, event)
            case TaskFailed(error=error):
                row.state, row.last_error = "failed, again", message_of(error, event.device)
                said = f"failed, is tried again: {row.last_error}"
            case TaskDone():
                row.state, row.now, said = "done", "", "done"
            case TaskUndone(error=error):
                if row.state == "set aside":
                    return None
                row.state, row.now, row.last_error = "failed", "", message_of(error, event.device)
                said = f"failed: {row.last_error}"
        return f"{event.device}: {said}"

    def table(self) -> Table:
        """The rows as they are now."""
        table = Table()
        for heading in ("device", "state", "now"):
            table.add_column(heading, overflow="fold")
        for heading in ("jobs", "jobs/min", "left", "°C"):
            table.add_column(heading, justify="right")
        table.add_column("last error", overflow="fold")
        for device, row in self._rows.items():
            rate = row.per_minute if row.state == "working" else None
            table.add_row(
                escape(device),
                row.state,
                escape(row.now),
                row.progress,
                "" if rate is None else f"{rate:.1f}",
                row.left if row.state == "working" else "",
                "" if row.celsius is None else f"{row.celsius:.1f}",
                escape(row.last_error),
            )
        return table

    def _progressed(self, row: _Row, event: TaskProgress) -> str | None:
        new_stage = event.stage != row.stage
        if new_stage:
            row.begin_done, row.begin_s = event.done, time.monotonic()
        stepped = event.stage == JOBS and event.done != row.done
        row.stage, row.done, row.total, row.now = event.stage, event.done, event.total, event.detail
        row.celsius = event.celsius if event.celsius is not None else row.celsius
        row.left_s, row.told_s = event.left_s, time.monotonic()
        if event.stage == JOBS:
            left = f" ({row.left} left)" if row.left and event.done < event.total else ""
            news, said = new_stage or stepped, f"{row.progress} jobs: {event.detail}{left}"
        else:
            news, said = new_stage and event.done < event.total, event.detail
        return f"{event.device}: {said}" if news else None


@contextmanager
def fleet_display(devices: Sequence[str]) -> Iterator[Callable[[FleetEvent], None]]:
    """Shows on stderr what the events tell that the yielded function is called with."""
    display = FleetDisplay(devices)

    def print_line(event: FleetEvent) -> None:
        if (line := display(event)) is not None:
            err.print(line, highlight=False, markup=False, soft_wrap=True)

    if not err.is_terminal:
        yield print_line
        return
    with Live(console=err, get_renderable=display.table, refresh_per_second=4):
        yield lambda event: (display(event), None)[1]


def message_of(error: BaseException, device: str) -> str:
    """What happened on the device in one line, without its name, file and remedy."""
    return shorten(whole_message_of(error, device), _LONGEST_MESSAGE, placeholder=" …")


def whole_message_of(error: BaseException, device: str) -> str:
    """The same, however long it is."""
    if not isinstance(error, FwdllmError):
        return repr(error)
    return error.message.removeprefix(f"{device}: ")
