"""The host processes that belong to a fake phone: found, slowed down, killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARKER = "FWDLLM_FAKE_PHONE"  # the environment variable that all of a phone's processes carry

# Short enough that even a sample of some milliseconds meets several stops.
_PERIOD_S = 0.005


def running_processes(marker: str) -> list[int]:
    """All live processes of the phone, whoever their parent is now."""
    needle = f"{MARKER}={marker}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended, or it is somebody else's
    return found


def kill_processes(marker: str) -> None:
    """Kills all of the phone's processes, also those that are started meanwhile."""
    while processes := running_processes(marker):
        for process in processes:
            _send(process, signal.SIGKILL)
        time.sleep(0.005)


class Slowdown:
    """Stops and continues processes with their descendants so that they run `factor` times slower.

    Wall time stretches by the factor over anything longer than a few milliseconds; the CPU time
    that programs measure of themselves stays as on the host.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._roots: set[int] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._alternate, daemon=True, name="slowdown")
        if factor > 1:
            self._thread.start()

    def add(self, process: int) -> None:
        with self._changed:
            self._roots.add(process)
            self._changed.notify()

    def discard(self, process: int) -> None:
        with self._changed:
            self._roots.discard(process)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _alternate(self) -> None:
        owed = 0.0  # seconds of standstill that the running time so far asks for
        known: list[int] = []  # also what has detached itself from the command that began it
        while True:
            with self._changed:
                while not self._roots and not known and not self._closed:
                    self._changed.wait()
                    owed = 0.0
                if self._closed:
                    return
                roots = {*self._roots, *known}
            start = time.monotonic()
            time.sleep(_PERIOD_S / self._factor)
            processes = _with_descendants(roots)
            for process in processes:
                _send(process, signal.SIGSTOP)
            stopped = time.monotonic()
            owed += (stopped - start) * (self._factor - 1)
            time.sleep(max(0.0, owed))
            for process in processes:
                _send(process, signal.SIGCONT)
            owed -= time.monotonic() - stopped
            known = processes


def _with_descendants(roots: Iterable[int]) -> list[int]:
    """The roots and what descends from them, without those that have ended."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        process = waiting.pop()
        folder = Path(f"/proc/{process}")
        try:
            if (folder / "stat").read_text(errors="replace").rpartition(") ")[2].startswith("Z"):
                continue  # it ended and only waits to be reaped
            for task in (folder / "task").iterdir():
                children = (task / "children").read_text()
                waiting.extend(int(child) for child in children.split())
        except OSError:
            continue  # it ended
        found.add(process)
    return list(found)


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(process, number)
