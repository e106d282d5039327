"""Changed settings back to what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from android_harness.errors import OtherDeviceError
from android_harness.facts.identity import read_identity
from android_harness.state.device_settings import SETTINGS
from android_harness.state.settings_journal import ChangedSetting, read_journal, write_journal
from android_harness.target import Target
from exporters.contract import Part


class RestoredSetting(Part):
    """What became of one changed setting.

    Attributes:
        before: its value before the run.
        now: the value found when it was to be restored; None: the device does not tell.
        outcome: `left` when somebody else has changed it since.
        why: for what is left or failed, and for what was restored and cannot be read back.
    """

    setting: str
    before: str
    now: str | None
    outcome: Literal["restored", "left", "failed"]
    why: str = ""


def restore_settings(target: Target, path: Path) -> tuple[RestoredSetting, ...]:
    """Restores what the journal at `path` names, the last change first; the caller owns it.

    A value that is neither the one from before nor the one that the run set is somebody's wish
    from since then. It is left, told, and forgotten. What failed stays in the journal.

    Raises:
        OtherDeviceError: the target leads to another device than the journal's.
        SettingsJournalError: the journal is damaged; the device is not touched.
        DeviceError: the device cannot be reached; the journal stays as it is.
    """
    journal = read_journal(path)
    if journal is None:
        return ()
    serial = read_identity(target).serial
    if serial != journal.serial:
        raise OtherDeviceError(
            f"this is the device {serial}, the settings are of {journal.serial}",
            device=target.name,
            file=path,
        )
    restored = tuple(_restore(target, changed) for changed in reversed(journal.changed))
    failed = {row.setting for row in restored if row.outcome == "failed"}
    remaining = tuple(changed for changed in journal.changed if changed.setting in failed)
    write_journal(path, journal.model_copy(update={"changed": remaining}))
    return restored


def _restore(target: Target, changed: ChangedSetting) -> RestoredSetting:
    setting = next(setting for setting in SETTINGS if setting.name == changed.setting)
    now = setting.read(target).value

    def row(outcome: Literal["restored", "left", "failed"], why: str = "") -> RestoredSetting:
        return RestoredSetting(
            setting=changed.setting, before=changed.before, now=now, outcome=outcome, why=why
        )

    if now == changed.before:
        return row("restored")
    if now is not None and now != changed.set_to:
        return row("left", "somebody changed it since")
    change = setting.change(target, changed.before)
    if not change.took:
        return row("failed", change.objection)
    unverified = f"not verified, {change.now.why}" if change.now.value is None else ""
    return row("restored", unverified)
