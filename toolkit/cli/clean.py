"""`fwdllm clean`: what this project keeps on a device, and removing it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exporters.durable_files import sha256_of
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from android_harness.pushing.workspace import Entry


def clean(
    target: Annotated[
        str, typer.Option("--target", help="local, adb:SERIAL or adb-tcp:HOST:PORT.")
    ],
    unused_days: Annotated[
        float | None,
        typer.Option(min=0, show_default=False, help="Remove what was not used for so many days."),
    ] = None,
    remove_all: Annotated[
        bool, typer.Option("--all", help="Remove everything, LoRA values of training runs too.")
    ] = False,
    keep: Annotated[
        list[Path] | None,
        typer.Option(help="A bundle folder whose files stay; repeat for several."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what lies in the device's workspace; remove it with --unused-days or --all.

    What would go is shown first and asked about. Nothing is removed while a run is under way
    there. With --json nothing is asked, and nothing removed without --yes.
    """
    from android_harness.facts.free_space import read_free_bytes
    from android_harness.pushing.workspace import list_workspace, remove_entries, unwanted
    from android_harness.targets.open_target import open_target

    if remove_all and unused_days is not None:
        raise typer.BadParameter("--all and --unused-days exclude each other")
    kept = {digest for folder in keep or [] for digest in _digests(folder)}
    with open_target(target) as opened:
        entries = list_workspace(opened)
        going: list[Entry] = []
        if remove_all or unused_days is not None:
            going = unwanted(entries, unused_days=unused_days or 0.0, keep=kept)
        if not json:
            out.print(_table(entries, going))
        removing = bool(going) and (yes or (not json and _agreed(going)))
        if removing:
            remove_entries(opened, going)
        free = read_free_bytes(opened, opened.workspace)
        if json:
            rows = [{**asdict(entry), "chosen": entry in going} for entry in entries]
            print_json(
                {
                    "target": target,
                    "workspace": str(opened.workspace),
                    "free_bytes": free,
                    "removed": removing,
                    "entries": rows,
                }
            )
            return
        said = f"{target}: {_sum(entries)} in {opened.workspace}"
        if removing:
            said = f"{target}: removed {_sum(going)} of {opened.workspace}"
        if free is not None:
            said += f", {free / 1e6:,.0f} MB free"
        out.print(escape(said), highlight=False, soft_wrap=True)
    if going and not removing:
        err.print("nothing was removed; --yes removes it without asking")
        raise typer.Exit(1)


def _digests(bundle: Path) -> set[str]:
    """The hashes of all that a push of the bundle may have placed."""
    from exporters.manifest import MANIFEST_NAME, Bundle

    files = {file.sha256 for file in Bundle(bundle).manifest.files}
    return files | {sha256_of(bundle / MANIFEST_NAME)}


def _agreed(going: Sequence[Entry]) -> bool:
    return sys.stdin.isatty() and typer.confirm(f"Remove {_sum(going)}?", err=True)


def _sum(entries: Collection[Entry]) -> str:
    size = sum(entry.size or 0 for entry in entries)
    return f"{size / 1e6:,.1f} MB in {len(entries)} entries"


def _table(entries: Sequence[Entry], going: Collection[Entry]) -> Table:
    table = Table("what", "name", "MB", "unused for", "")
    for entry in entries:
        mark = "live" if entry.live else "[red]goes[/]" if entry in going else ""
        name = entry.name[:12] if entry.kind in ("store", "incoming") else entry.name
        shown = " ".join((name, *entry.files))
        size = "?" if entry.size is None else f"{entry.size / 1e6:,.1f}"
        table.add_row(entry.kind, escape(shown), size, _age(entry.idle_s), mark)
    return table


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
