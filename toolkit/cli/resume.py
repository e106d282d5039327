"""`fwdllm resume`: commands that were cut off, run again where they were begun."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from exporters.errors import FwdllmError
from toolkit.cli.console import err, print_error
from toolkit.cli.recorded_command import RecordedCommand, recorded_commands
from toolkit.cli.runs import ALL, chosen

_INTERRUPTED = 130


def resume(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="As `fwdllm runs` lists them; all when absent."),
    ] = None,
) -> None:
    """Continue interrupted commands: what they measured is kept, what goes on is taken up."""
    waiting = [command for command in recorded_commands() if not command.is_running]
    commands = [each for text in ids or [ALL] for each in chosen(waiting, text, "command")]
    if not commands:
        err.print("nothing was interrupted")
    failed = False
    for command in commands:
        try:
            failed |= _run_again(context, command) != 0
        except FwdllmError as error:
            print_error(error)
            failed = True
    if failed:
        raise typer.Exit(1)


def _run_again(context: typer.Context, command: RecordedCommand) -> int:
    """The command's exit code.

    Raises:
        KeyboardInterrupt: it was interrupted once more.
        FwdllmError: it failed.
    """
    err.print(f"fwdllm {command.line}", highlight=False, soft_wrap=True)
    try:
        os.chdir(command.cwd)
    except OSError as error:
        raise FwdllmError(
            f"the command's folder cannot be entered: {error.strerror}",
            remedy=f"drop the command with `fwdllm runs --forget {command.id}`",
            file=command.cwd,
        ) from error
    sys.argv[1:] = command.arguments  # what it will be recorded as
    main = context.find_root().command.main
    code = main(list(command.arguments), prog_name="fwdllm", standalone_mode=False) or 0
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return int(code)
