"""The runs that this process has under way: in the journal, and ended when the process is told to.

A signal reaches the main thread alone, while runs are waited for in any.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from android_harness.errors import DeviceError, RunStoppedError
from android_harness.host_process import HostProcess
from android_harness.runs.detached_run import DetachedRun
from android_harness.runs.journal import JournaledRun, forget_run, journaled_runs, record_run
from android_harness.runs.supervised_command import stop
from android_harness.target import Target

_CLEAN_UP_TIMEOUT_S = 10.0


class LiveRuns:
    """Runs by their ids in the journal; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, DetachedRun] = {}
        self._ending = False

    @contextmanager
    def under_way(self, run: DetachedRun, entry: JournaledRun) -> Iterator[None]:
        """While it lasts the run is in the journal; then it is removed from the device.

        A run that cannot be removed, because the device is away, stays in the journal.

        Raises:
            RunStoppedError: the process was told to end.
        """
        with self._lock:
            if self._ending:
                raise RunStoppedError("no run begins any more", device=entry.target)
            self._runs[entry.id] = run
        try:
            record_run(entry)
            yield
        finally:
            if run.remove():
                forget_run(entry)
            with self._lock:
                self._runs.pop(entry.id, None)

    def stop_all(self) -> None:
        """Stops all runs on their devices, at once, and lets none begin any more."""
        with self._lock:
            self._ending = True
            runs = list(self._runs.values())
        threads = [threading.Thread(target=run.stop) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop_left(self, target: Target, serial: str, *, but: str) -> None:
        """Stops what dead processes left running on the device, since it would disturb what comes.

        Args:
            but: the id of the run that is about to be taken up.
        """
        for entry in journaled_runs():
            if entry.serial == serial and entry.id != but and not self._is_waited_for(entry):
                stop_journaled(target, entry)

    def _is_waited_for(self, entry: JournaledRun) -> bool:
        if entry.host != HostProcess.current():
            return entry.host.is_alive
        with self._lock:
            return entry.id in self._runs


def stop_journaled(target: Target, entry: JournaledRun) -> bool:
    """Stops and removes a run on its device; whether that could be done.

    The entry stays where it could not.
    """
    try:
        result = target.run(stop(PurePosixPath(entry.folder)), timeout_s=_CLEAN_UP_TIMEOUT_S)
    except DeviceError:
        return False
    if result.exit_code == 0:
        forget_run(entry)
    return result.exit_code == 0


LIVE_RUNS = LiveRuns()
