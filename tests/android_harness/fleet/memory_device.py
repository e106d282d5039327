"""Devices that exist in memory only: they answer, are lost and come back as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from android_harness.errors import DeviceGoneError
from android_harness.fleet.device_worker import Patience
from android_harness.target import CommandResult, RemoteStat, Target

# Tests wait for no device: they say themselves when it comes back.
QUICK = Patience(lost_s=5.0, tries=3, first_pause_s=0.001, longest_pause_s=0.002)


class MemoryDevice(Target):
    """Answers who it is, and nothing else.

    Args:
        boot_id: the same for devices on one kernel.
        lost_looks: of how many looks for it none finds it, from now on.
    """

    def __init__(self, name: str, *, boot_id: str = "", lost_looks: int = 0) -> None:
        self.name = name
        self.serial = name
        self.workspace = PurePosixPath("/nowhere")
        self.lost_looks = lost_looks
        self.opened = self.closed = False
        self.interrupted = threading.Event()
        self._boot_id = boot_id or name

    def open(self) -> None:
        self.run(["true"])
        self.opened = True

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        if self.lost_looks:
            self.lost_looks -= 1
            raise DeviceGoneError("no such device", device=self.name)
        return CommandResult(0, f"{self.serial}\n\n{self._boot_id}\n".encode(), b"")

    def wait_for(self, *, timeout_s: float) -> None:
        self.run(["true"])

    def interrupt(self, thread: int) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed = True

    def stream(
        self, command: Sequence[str], *, timeout_s: float | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        raise NotImplementedError

    def push(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def append(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        offset: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def stat(self, remote: PurePosixPath) -> RemoteStat | None:
        raise NotImplementedError

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        raise NotImplementedError
