"""`fwdllm runs`: what is under way on devices, and which commands were cut off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from android_harness.errors import DeviceError
from android_harness.facts.identity import read_identity
from android_harness.runs.journal import JournaledRun, forget_run, journaled_runs
from android_harness.runs.supervised_command import RunReport, list_runs, parse_list
from exporters.errors import FwdllmError
from toolkit.cli.console import err, out, print_error, print_json
from toolkit.cli.options import JsonOption
from toolkit.cli.recorded_command import RecordedCommand, forget_command, recorded_commands

if TYPE_CHECKING:
    from android_harness.target import Target

ALL = "all"


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Identified)


@dataclass(frozen=True)
class SeenRun:
    """A run as its device tells it now; `entry` where this machine began it.

    `state` is a `RunState`, `unreachable`, or `another device` where another one answers at its
    target.
    """

    target: str
    name: str
    state: str
    entry: JournaledRun | None


def runs(
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Also show what other machines began on these devices."),
    ] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="ID|all", help="Kill and remove a run on its device.")
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="ID|all", help="Drop from this list what no process waits for; results stay."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List runs on devices and interrupted commands; `fwdllm resume` continues these."""
    if stop is not None:
        _stop(chosen(journaled_runs(), stop, "run"))
    if forget is not None:
        _forget(forget)
    commands = recorded_commands()
    seen = _seen(journaled_runs(), target or [])
    if json:
        print_json(
            {
                "commands": [_command_json(command) for command in commands],
                "runs": [_run_json(run) for run in seen],
            }
        )
        return
    if commands:
        out.print(_commands_table(commands))
    if seen:
        out.print(_runs_table(seen, commands))
    if not commands and not seen:
        err.print("nothing is under way")


def chosen(entries: Sequence[_Entry], text: str, word: str) -> list[_Entry]:
    """The entries whose id begins with `text`, of which there must be one; or all of them.

    Raises:
        FwdllmError: none or several are meant.
    """
    if text == ALL:
        return list(entries)
    found = [entry for entry in entries if text and entry.id.startswith(text)]
    if len(found) != 1:
        raise FwdllmError(
            f"{'no' if not found else 'more than one'} {word} has the id {text!r}",
            remedy="`fwdllm runs` lists them",
        )
    return found


def _stop(entries: Iterable[JournaledRun]) -> None:
    from android_harness.runs.live_runs import stop_journaled
    from android_harness.targets.open_target import open_target

    failures = []
    for entry in entries:
        try:
            with open_target(entry.target) as opened:
                _require_same_device(opened, entry)
                if not stop_journaled(opened, entry):
                    raise DeviceError("the run could not be stopped", device=entry.target)
        except DeviceError as error:
            failures.append(error)
        else:
            err.print(f"stopped {entry.id} on {entry.target}", highlight=False)
    for failure in failures[:-1]:
        print_error(failure)
    if failures:
        raise failures[-1]


def _require_same_device(opened: Target, entry: JournaledRun) -> None:
    serial = read_identity(opened).serial
    if serial != entry.serial:
        raise DeviceError(
            f"this is {serial}, and the run is on {entry.serial}",
            device=entry.target,
            remedy="connect that device",
        )


def _forget(text: str) -> None:
    entries: list[RecordedCommand | JournaledRun] = [*recorded_commands(), *journaled_runs()]
    for entry in chosen(entries, text, "command or run"):
        if isinstance(entry, JournaledRun):
            if not entry.host.is_alive:
                forget_run(entry)
        elif not entry.is_running:
            forget_command(entry)


def _seen(entries: Sequence[JournaledRun], targets: Sequence[str]) -> list[SeenRun]:
    """What the devices of the entries, and these targets, tell; each is asked once."""
    from android_harness.targets.open_target import open_target

    seen = []
    for spec in dict.fromkeys([*(entry.target for entry in entries), *targets]):
        here = [entry for entry in entries if entry.target == spec]
        try:
            with open_target(spec) as opened:
                serial = read_identity(opened).serial
                folder = opened.workspace / "runs"
                told = parse_list(opened.check(list_runs(folder), timeout_s=10).stdout)
        except DeviceError as error:
            err.print(error.message, highlight=False, soft_wrap=True)
            seen += [SeenRun(spec, entry.name, "unreachable", entry) for entry in here]
            continue
        for entry in here:
            if entry.serial != serial:
                seen.append(SeenRun(spec, entry.name, "another device", entry))
                continue
            report = told.pop(entry.name, RunReport("absent"))
            if report.state == "absent" and not entry.host.is_alive:
                forget_run(entry)  # somebody else has removed it
            else:
                seen.append(SeenRun(spec, entry.name, report.state, entry))
        if spec in targets:
            seen += [SeenRun(spec, name, report.state, None) for name, report in told.items()]
    return seen


def _commands_table(commands: Sequence[RecordedCommand]) -> Table:
    table = Table("id", "command", "in", "begun", "state", title="Commands", title_justify="left")
    for command in commands:
        cells = (f"fwdllm {command.line}", command.cwd, _at(command.started_at), command.state)
        table.add_row(command.id, *map(escape, cells))
    return table


def _runs_table(seen: Sequence[SeenRun], commands: Sequence[RecordedCommand]) -> Table:
    columns = ("id", "device", "state", "begun", "ends by", "waited for by")
    table = Table(*columns, title="Runs on devices", title_justify="left")
    for run in seen:
        entry = run.entry
        if entry is None:
            table.add_row(run.name, run.target, run.state, "", "", "another machine")
            continue
        waiting = [command.id for command in commands if command.host == entry.host]
        who = f"command {waiting[0]}" if waiting else f"process {entry.host.pid}"
        if not entry.host.is_alive:
            who = f"nobody ({who} was ended)"
        table.add_row(
            entry.id, run.target, run.state, _at(entry.started_at), _at(entry.deadline_at), who
        )
    return table


def _command_json(command: RecordedCommand) -> dict[str, object]:
    return {"id": command.id, "state": command.state, **command.model_dump(mode="json")}


def _run_json(run: SeenRun) -> dict[str, object]:
    entry = run.entry
    if entry is None:
        return {"id": None, "state": run.state, "target": run.target, "name": run.name}
    return {
        "id": entry.id,
        "state": run.state,
        "waited_for": entry.host.is_alive,
        **entry.model_dump(mode="json"),
    }


def _at(moment: datetime) -> str:
    return moment.astimezone().strftime("%d %b %H:%M:%S")
