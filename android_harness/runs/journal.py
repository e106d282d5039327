"""The runs that this machine has under way on devices: written before the act, so that a run
whose host was killed is found again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from android_harness.host_folders import state_root
from android_harness.host_process import HostProcess
from exporters.contract import Contract


class JournaledRun(Contract):
    """A run folder on a device, and who waits for it.

    Attributes:
        target: as given to --target.
        serial: of the device, as `DeviceIdentity` has it.
        boot_id: of the device when this process first asked it.
        folder: of the run, on the device.
        name: the folder's; a run that was given a name is taken up when its job is asked for again.
        bundle: the folder of the bundle, on this machine.
        deadline_at: when the device ends it.
    """

    word: ClassVar[str] = "journal entry of a run"

    target: str
    serial: str
    boot_id: str | None
    folder: str
    name: str
    named: bool
    bundle: str
    host: HostProcess
    started_at: datetime
    deadline_at: datetime

    @property
    def id(self) -> str:
        """What people call it by: 8 hexadecimal digits."""
        return hashlib.sha256(f"{self.serial}\n{self.folder}".encode()).hexdigest()[:8]


def record_run(run: JournaledRun) -> None:
    """Writes the run down, over what was known of its folder."""
    run.write(_file(run))


def forget_run(run: JournaledRun) -> None:
    """Its folder is gone from the device, or nobody wants to hear of it any more."""
    _file(run).unlink(missing_ok=True)


def journaled_runs() -> list[JournaledRun]:
    """All runs that were not seen to their end, the oldest first.

    Raises:
        ContractError: an entry cannot be read.
    """
    # Another process may end its run, and with it the entry, meanwhile.
    return sorted(JournaledRun.read_all(_folder()), key=lambda run: run.started_at)


def _folder() -> Path:
    return state_root() / "runs" / "devices"


def _file(run: JournaledRun) -> Path:
    return _folder() / f"{run.id}.json"
