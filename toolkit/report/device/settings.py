"""The device's settings during the sweep."""

from __future__ import annotations

from android_harness.state.held_settings import HeldSetting, HeldSettings
from toolkit.report.content import Section, Table, columns
from toolkit.report.wording import UNKNOWN


def settings_part(held: HeldSettings, anchor: str) -> Section:
    """Each setting before the run and during it."""
    table = Table(
        "Settings, restored at the end of the run",
        columns("setting", "before", "during", "status"),
        [_row(row) for row in held.settings],
    )
    return Section("Settings", f"{anchor}_settings", tables=[table])


def _row(row: HeldSetting) -> tuple[str, ...]:
    status = f"{row.status}: {row.why}" if row.why else row.status
    return (row.setting, row.before or UNKNOWN, row.during or UNKNOWN, status)
