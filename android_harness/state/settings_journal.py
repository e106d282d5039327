"""What was changed on devices and is not restored yet, on this machine's disk.

One file a device under `state_root()/settings`, written and synced before each change. The file
of a device whose settings are as they were does not exist.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote

from android_harness.errors import SettingsHeldError, SettingsJournalError
from android_harness.host_folders import state_root
from android_harness.state.device_settings import SettingName
from exporters.contract import Contract, Part
from exporters.errors import ContractError


class ChangedSetting(Part):
    """A setting that was changed, or was about to be.

    Attributes:
        before: the value to restore.
        set_to: the value that it was given.
    """

    setting: SettingName
    before: str
    set_to: str


class SettingsJournal(Contract):
    """The changed settings of one device, in the order in which they were changed.

    Attributes:
        target: what the device was reached through.
        began: when the run began that changed them.
    """

    word: ClassVar[str] = "journal of changed settings"

    serial: str
    target: str
    began: datetime
    changed: tuple[ChangedSetting, ...]

    def before(self, setting: SettingName) -> str | None:
        """The value to restore; None: it was not changed."""
        return next((row.before for row in self.changed if row.setting == setting), None)

    def with_change(self, setting: SettingName, *, before: str, set_to: str) -> Self:
        """The journal with this change instead of an earlier one of the setting."""
        others = tuple(row for row in self.changed if row.setting != setting)
        changed = ChangedSetting(setting=setting, before=before, set_to=set_to)
        return self.model_copy(update={"changed": (*others, changed)})


def journal_path(serial: str) -> Path:
    """Where the journal of a device is, when it has one."""
    return _folder() / f"{quote(serial, safe='')}.json"


def journal_paths() -> list[Path]:
    """The journals of all devices with changed settings."""
    return sorted(_folder().glob("*.json"))


def read_journal(path: Path) -> SettingsJournal | None:
    """The journal at `path`; None: all is as it was.

    Raises:
        SettingsJournalError: the file is damaged, or of another version.
    """
    return load_journal(path) if path.exists() else None


def load_journal(path: Path) -> SettingsJournal:
    """A journal that is there.

    Raises:
        SettingsJournalError: the file is damaged, of another version, or gone.
    """
    try:
        return SettingsJournal.read(path)
    except ContractError as error:
        raise SettingsJournalError(error.message, file=path) from error


def write_journal(path: Path, journal: SettingsJournal) -> None:
    """Makes the journal durable before it returns; one without changed settings is removed."""
    if journal.changed:
        journal.write(path)
    else:
        path.unlink(missing_ok=True)
    if path.parent.exists():
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself must outlive a power failure
        finally:
            os.close(folder)


@contextmanager
def owned(path: Path, *, device: str) -> Iterator[None]:
    """Makes this the only holder of a device's settings; a process that dies gives them free.

    Raises:
        SettingsHeldError: somebody else holds them, in this process or another.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the journal, which is replaced at each write and cannot itself be locked.
    with path.with_suffix(".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise SettingsHeldError(
                f"its settings are held by another run, process {owner}", device=device
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _folder() -> Path:
    return state_root() / "settings"
