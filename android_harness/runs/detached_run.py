"""One run on a device: it goes on while the link is down, and is found again when it is back."""

from __future__ import annotations

import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from android_harness.errors import (
    LOST,
    DeviceError,
    DeviceGoneError,
    DeviceRebootedError,
    DeviceTimeoutError,
    IncompleteRunError,
    MissingFileError,
    RunStoppedError,
)
from android_harness.runs.supervised_command import (
    RunReport,
    claim,
    parse_report,
    start_and_wait,
    stop,
    wait,
)
from android_harness.target import Target, command_error

# How long a device may be away in the middle of a run: to plug a cable in again, or for a phone to
# come back to its network. The run itself goes on meanwhile, until its deadline.
PATIENCE_S = 600.0
# For a run whose caller gives no limit: nothing that a dead host left may drain a phone for ever.
# A job is one arm or one order, minutes at most; overnight is out of the question.
DEFAULT_DEADLINE_S = 6 * 3600.0

# How long one command may wait on the device: it bounds how late a link is seen to be dead.
_WAIT_S = 30
# Where commands have to take turns, one that waits keeps all others out, also one that stops it.
_WAIT_IN_TURN_S = 3
# Beyond what a command waits on the device: for its answer to arrive.
_ANSWER_S = 15.0
# Beyond the deadline that the device keeps: for its shell to report the kill.
_REPORT_GRACE_S = 10.0
_REMOVAL_PATIENCE_S = 10.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 8.0


_Result = TypeVar("_Result")


class DetachedRun:
    """A run folder on a target, and what runs there. `stop` may be called from another thread.

    Args:
        folder: of this run alone.
        patience_s: how long to wait for a lost device, each time.
    """

    def __init__(self, target: Target, folder: PurePosixPath, *, patience_s: float) -> None:
        self.target = target
        self.folder = folder
        self._patience_s = patience_s
        self._stopped = threading.Event()
        self._wait_s = _WAIT_IN_TURN_S if target.single_connection else _WAIT_S

    def claim(self, job_sha256: str) -> RunReport:
        """What is there of a run of this job to go on with; anything else there is removed.

        Raises:
            DeviceError: the device stayed away, or cannot make the folder.
        """
        return self._ask(claim(self.folder, job_sha256), timeout_s=_ANSWER_S)

    def push(self, local: Path, remote: PurePosixPath) -> None:
        """Copies a file to the device, however often the link breaks."""
        self._persistently(lambda: self.target.push(local, remote))

    def to_end(self, program: Sequence[str], *, deadline_s: float) -> RunReport:
        """Starts the program, unless it was started before, and waits until it has ended.

        Raises:
            DeviceRebootedError: the device booted anew.
            IncompleteRunError: what waited for the program on the device was killed.
            RunStoppedError: `stop` was called, or the run was removed from elsewhere.
            DeviceTimeoutError: it goes on beyond its deadline.
            DeviceGoneError: the device stayed away.
        """
        end = time.monotonic() + deadline_s + _REPORT_GRACE_S
        command = start_and_wait(self.folder, program, deadline_s=deadline_s, wait_s=self._wait_s)
        while True:
            report = self._ask(command, timeout_s=self._wait_s + _ANSWER_S)
            if report.state == "ended":
                return report
            if report.state != "running":
                raise self._failure(report)
            if time.monotonic() > end:
                raise DeviceTimeoutError(
                    f"the run goes on beyond its deadline of {deadline_s:g} s",
                    device=self.target.name,
                    remedy="keep the device from sleeping, or allow more time",
                )
            command = wait(self.folder, wait_s=self._wait_s)

    def text(self, name: str) -> str:
        """A file of the run's folder; empty where there is none."""
        with tempfile.TemporaryDirectory() as here:
            local = Path(here) / name
            try:
                self._persistently(lambda: self.target.pull(self.folder / name, local))
            except MissingFileError:
                return ""
            return local.read_text(encoding="utf-8", errors="replace")

    def remove(self) -> bool:
        """Kills what still runs and removes the folder; whether the device did so."""
        command = stop(self.folder)
        try:
            result = persistently(
                self.target,
                lambda: self.target.run(command, timeout_s=_REMOVAL_PATIENCE_S),
                patience_s=min(_REMOVAL_PATIENCE_S, self._patience_s),
            )
        except DeviceError:
            return False
        return result.exit_code == 0

    def stop(self) -> None:
        """Removes the run; `to_end` in another thread raises."""
        self._stopped.set()
        self.remove()

    def _ask(self, command: Sequence[str], *, timeout_s: float) -> RunReport:
        shown = command[3:5]  # what the script is to do, and where

        def ask() -> RunReport:
            result = self.target.run(command, timeout_s=timeout_s)
            report = parse_report(result.stdout)
            if report is not None:
                return report
            if result.exit_code > 128:  # as when the daemon takes its children with it
                raise DeviceGoneError(
                    "the command was killed on the device",
                    device=self.target.name,
                    command=shlex.join(shown),
                )
            raise command_error(result, shown, device=self.target.name)

        return self._persistently(ask)

    def _persistently(self, act: Callable[[], _Result]) -> _Result:
        try:
            if self._stopped.is_set():
                raise self._stop_error()
            return persistently(
                self.target, act, patience_s=self._patience_s, given_up=self._stopped.is_set
            )
        except LOST as error:
            if self._stopped.is_set():
                raise self._stop_error() from error
            raise

    def _failure(self, report: RunReport) -> DeviceError:
        device = self.target.name
        if self._stopped.is_set():
            return self._stop_error()
        if report.state == "rebooted":
            return DeviceRebootedError("the device booted anew during the run", device=device)
        if report.state == "lost":
            return IncompleteRunError(
                "what waited for the runner on the device was killed", device=device
            )
        return RunStoppedError("the run is no longer on the device", device=device)

    def _stop_error(self) -> RunStoppedError:
        return RunStoppedError("the run was stopped", device=self.target.name)


def persistently(
    target: Target,
    act: Callable[[], _Result],
    *,
    patience_s: float,
    given_up: Callable[[], bool] = lambda: False,
) -> _Result:
    """What `act` returns, which is done again as long as the link breaks in it.

    Raises:
        DeviceError: any other error of `act`, or the last one after `patience_s` seconds.
    """
    end, pause_s = None, _FIRST_PAUSE_S
    while True:
        try:
            if end is not None:
                target.wait_for(timeout_s=min(_LONGEST_PAUSE_S, end - time.monotonic()))
            return act()
        except LOST:
            end = end or time.monotonic() + patience_s
            if time.monotonic() + pause_s > end or given_up():
                raise
        time.sleep(pause_s)  # the device may answer and yet break the link in each act
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
