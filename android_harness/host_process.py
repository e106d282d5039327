"""A process of this machine, told from a later one with the same id."""

from __future__ import annotations

import os
from pathlib import Path

from exporters.contract import Part

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ZOMBIE = "Z"


class HostProcess(Part):
    """A process id, with its start in clock ticks since boot and the boot; None: not told here."""

    pid: int
    started_ticks: int | None
    boot_id: str | None

    @classmethod
    def current(cls) -> HostProcess:
        """This process."""
        pid = os.getpid()
        return cls(pid=pid, started_ticks=_started_ticks(pid), boot_id=_boot_id())

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs on this machine."""
        if self.started_ticks is None:  # a system without /proc: the id is all there is
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return False
            except PermissionError:
                pass  # somebody else's
            return True
        return self.boot_id == _boot_id() and _started_ticks(self.pid) == self.started_ticks


def _boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def _started_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None without such a process, or when it is to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == _ZOMBIE else int(fields[19])
