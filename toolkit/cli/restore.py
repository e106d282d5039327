"""`fwdllm restore`: settings that runs changed on devices, back to what they were."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.table import Table

from exporters.errors import FwdllmError
from toolkit.cli.console import err, out, print_error, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from android_harness.state.restoring import RestoredSetting
    from android_harness.target import Target


class RestoredDevice(NamedTuple):
    """A device and what became of its changed settings."""

    target: str
    settings: tuple[RestoredSetting, ...]


def restore(
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            show_default="all",
            help="A device, by where it is now; repeat for several. all: every device with "
            "changed settings, where the run had reached it.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Show what is changed, and touch no device.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Restore settings that an interrupted run left changed; exit code 1 when some stay so."""
    from android_harness.state.settings_journal import journal_paths

    if show:
        _list(json=json)
        return
    if target is None or "all" in target:
        work = [partial(_restore_journaled, path) for path in journal_paths()]
    else:
        work = [partial(_restore_at, spec) for spec in target]
    restored, failures = [], []
    for restore_one in work:
        try:
            restored.append(restore_one())
        except FwdllmError as error:
            failures.append(error)
    rows = [row for device in restored for row in device.settings]
    if json:
        print_json(
            [
                {"target": device.target, "settings": [row.model_dump() for row in device.settings]}
                for device in restored
            ]
        )
    else:
        for device in restored:
            if device.settings:
                _print_restored(device)
    if not rows and not failures:
        err.print("nothing to restore")
    for failure in failures:
        print_error(failure)
    if failures or any(row.outcome == "failed" for row in rows):
        raise typer.Exit(1)


def _restore_journaled(path: Path) -> RestoredDevice:
    from android_harness.state.settings_journal import load_journal
    from android_harness.targets.open_target import open_target

    with open_target(load_journal(path).target) as target:
        return _restore(target, path)


def _restore_at(spec: str) -> RestoredDevice:
    from android_harness.facts.identity import read_identity
    from android_harness.state.settings_journal import journal_path
    from android_harness.targets.open_target import open_target

    with open_target(spec) as target:
        return _restore(target, journal_path(read_identity(target).serial))


def _restore(target: Target, path: Path) -> RestoredDevice:
    from android_harness.state.restoring import restore_settings
    from android_harness.state.settings_journal import owned

    with owned(path, device=target.name):
        return RestoredDevice(target.name, restore_settings(target, path))


def _print_restored(device: RestoredDevice) -> None:
    out.print(device.target, highlight=False, soft_wrap=True)
    table = Table("setting", "before the run", "now", "outcome")
    for row in device.settings:
        outcome = f"restored to {row.before}" if row.outcome == "restored" else row.outcome
        shown = outcome + (f": {row.why}" if row.why else "")
        table.add_row(row.setting, row.before, row.now or "unknown", shown)
    out.print(table)


def _list(*, json: bool) -> None:
    from android_harness.state.settings_journal import journal_paths, load_journal

    journals, failures = [], []
    for path in journal_paths():
        try:
            journals.append(load_journal(path))
        except FwdllmError as error:
            failures.append(error)
    if json:
        print_json([journal.model_dump(mode="json") for journal in journals])
    else:
        for journal in journals:
            began = journal.began.isoformat(" ", "seconds")
            heading = f"{journal.serial}, reached at {journal.target}, run began {began}"
            out.print(heading, highlight=False, soft_wrap=True)
            table = Table("setting", "before the run", "set to")
            for row in journal.changed:
                table.add_row(row.setting, row.before, row.set_to)
            out.print(table)
    if not journals and not failures:
        err.print("no settings are changed")
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(1)
