"""Settings of a device held for a run: changed at its begin, restored at its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

from android_harness.errors import DeviceError, SettingsJournalError, SettingsNotRestoredError
from android_harness.facts.identity import read_identity
from android_harness.state.device_settings import SETTINGS, Setting, SettingName
from android_harness.state.restoring import restore_settings
from android_harness.state.settings_journal import (
    SettingsJournal,
    journal_path,
    owned,
    read_journal,
    write_journal,
)
from android_harness.state.wanted_settings import AS_IS, WantedSettings
from android_harness.target import Target
from exporters.contract import Contract, Part

SETTINGS_NAME = "settings.json"  # in a folder of samples

Status = Literal["as found", "set", "unverified", "unsupported"]

_log = logging.getLogger(__name__)


class HeldSetting(Part):
    """One setting during a run.

    Attributes:
        before: its value before the run; None: the device does not tell.
        wanted: what was asked for; None: nothing.
        during: its value during the run, as read back; None: the device does not tell.
        status: `set` is read back, also where it was so already; `unverified` was accepted and
            cannot be read back, or reads as something else; `unsupported` is unchanged.
        why: for what is unverified or unsupported.
    """

    setting: SettingName
    before: str | None
    wanted: str | None
    during: str | None
    status: Status
    why: str = ""


class HeldSettings(Contract):
    """The settings of one device during a run, as they belong beside its samples."""

    word: ClassVar[str] = "record of held settings"

    serial: str
    target: str
    settings: tuple[HeldSetting, ...]


@contextmanager
def held_settings(target: Target, wanted: WantedSettings) -> Iterator[HeldSettings]:
    """Sets the wanted settings and, however the block ends, restores what they were.

    Each change is in the journal before it is made, so that `fwdllm restore` can undo it when
    this process cannot. What an earlier run left changed is restored first. A device that is not
    Android has no settings to hold. With `AS_IS` they are read and nothing is touched.

    Raises:
        SettingsHeldError: another run holds the device's settings.
        SettingsJournalError: the journal of an earlier run is damaged; nothing was touched.
        DeviceError: the device could not be reached at the begin.
        SettingsNotRestoredError: the block succeeded, and something could not be restored. When
            the block itself raises, that error goes on and this one is logged.
    """
    serial = read_identity(target).serial
    android = bool(target.run(["getprop", "ro.build.version.sdk"]).stdout.strip())
    if not android or wanted == AS_IS:
        rows = [_as_found(target, setting, wanted, android=android) for setting in SETTINGS]
        yield HeldSettings(serial=serial, target=target.name, settings=tuple(rows))
        return
    path = journal_path(serial)
    with owned(path, device=target.name):
        if left_over := restore_settings(target, path):
            names = ", ".join(row.setting for row in left_over)
            _log.warning("%s: an earlier run had left settings changed: %s", target.name, names)
        try:
            rows = [_set(target, setting, wanted, serial, path) for setting in SETTINGS]
            yield HeldSettings(serial=serial, target=target.name, settings=tuple(rows))
        except BaseException:
            try:
                _release(target, path)
            except (DeviceError, SettingsJournalError) as error:
                _log.warning("%s", error)
            raise
        _release(target, path)


def _as_found(
    target: Target, setting: Setting, wanted: WantedSettings, *, android: bool
) -> HeldSetting:
    found = setting.read(target).value if android else None
    value = wanted.value(setting.name)
    return HeldSetting(
        setting=setting.name,
        before=found,
        wanted=value,
        during=found,
        status="as found" if value is None else "unsupported",
        why="" if value is None else "not an Android device",
    )


def _set(
    target: Target, setting: Setting, wanted: WantedSettings, serial: str, path: Path
) -> HeldSetting:
    """Sets one setting; what an earlier run changed and could not restore keeps its original."""
    journal = read_journal(path) or SettingsJournal(
        serial=serial, target=target.name, began=datetime.now(UTC), changed=()
    )
    value = wanted.value(setting.name)
    found = setting.read(target)
    told = journal.before(setting.name) or found.value
    before = told or setting.assumed

    def row(status: Status, during: str | None, why: str = "") -> HeldSetting:
        return HeldSetting(
            setting=setting.name,
            before=told,
            wanted=value,
            during=during,
            status=status,
            why=why,
        )

    if value is None:
        return row("as found", found.value)
    if before is None:
        return row("unsupported", None, found.why)
    if found.value == value:
        return row("set", value)
    write_journal(path, journal.with_change(setting.name, before=before, set_to=value))
    change = setting.change(target, value)
    now = change.now.value
    if change.took:
        return row("set", now) if now else row("unverified", None, change.now.why)
    if now == found.value:
        if now is None:  # nobody can tell whether it took in spite of what the device said
            setting.change(target, before)
        write_journal(path, journal)
        return row("unsupported", now, change.objection)
    # Restored only from what the run made it, so that is what the journal must know.
    write_journal(path, journal.with_change(setting.name, before=before, set_to=now or value))
    return row("unverified", now, change.objection)


def _release(target: Target, path: Path) -> None:
    """Restores all.

    Raises:
        SettingsNotRestoredError: something stays changed, and in the journal.
        SettingsJournalError: somebody damaged the journal during the run.
    """
    try:
        rows = restore_settings(target, path)
    except DeviceError as error:
        reason = error.message.removeprefix(f"{target.name}: ")
        raise SettingsNotRestoredError(
            f"the settings from before the run are not restored: {reason}", device=target.name
        ) from error
    for row in rows:
        if row.outcome == "left":
            _log.warning(
                "%s: %s is left at %s, was %s before the run: %s",
                target.name,
                row.setting,
                row.now,
                row.before,
                row.why,
            )
    failed = [f"{row.setting} ({row.why})" for row in rows if row.outcome == "failed"]
    if failed:
        raise SettingsNotRestoredError(
            f"not restored from before the run: {', '.join(failed)}", device=target.name
        )
