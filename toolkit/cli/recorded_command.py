"""The commands that measure or train for hours: written down, so that one that was cut off goes on.

An entry is made before the work begins and goes when it is done. One that stays says why: its
process was killed, the user or a signal ended it, or a device was lost.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from android_harness.errors import DeviceError
from android_harness.host_folders import state_root
from android_harness.host_process import HostProcess
from exporters.contract import Contract
from exporters.errors import FwdllmError


class RecordedCommand(Contract):
    """A command of this machine.

    Attributes:
        arguments: what followed `fwdllm`.
        cwd: the folder that it ran in.
        targets: the devices it works on.
        out: where its results go.
        ended: why it is not done, once it has ended; None: it runs, or was killed.
    """

    word: ClassVar[str] = "journal entry of a command"

    arguments: tuple[str, ...]
    cwd: str
    host: HostProcess
    started_at: datetime
    targets: tuple[str, ...]
    out: str
    ended: str | None = None

    @property
    def id(self) -> str:
        """What people call it by, the same for the same command: 8 hexadecimal digits."""
        content = json.dumps([self.cwd, *self.arguments])
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    @property
    def line(self) -> str:
        """The command as one types it."""
        return shlex.join(self.arguments)

    @property
    def is_running(self) -> bool:
        return self.ended is None and self.host.is_alive

    @property
    def state(self) -> str:
        """In words, for people."""
        if self.is_running:
            return f"running, process {self.host.pid}"
        return self.ended or "interrupted: its process was killed"


@contextmanager
def recorded_command(*, targets: Sequence[str], out: Path) -> Iterator[None]:
    """While it lasts the command is in the journal; it stays there where it can be continued.

    Raises:
        FwdllmError: the same command runs already.
    """
    command = RecordedCommand(
        arguments=tuple(sys.argv[1:]),
        cwd=str(Path.cwd()),
        host=HostProcess.current(),
        started_at=datetime.now(UTC),
        targets=tuple(targets),
        out=str(out.absolute()),
    )
    path = _file(command)
    if path.exists():
        before = RecordedCommand.read(path)
        if before.is_running and before.host != command.host:
            raise FwdllmError(
                f"this command runs already, as process {before.host.pid}",
                remedy="wait for it, or end that process first",
            )
    command.write(path)
    try:
        yield
    except (KeyboardInterrupt, DeviceError) as error:
        ended = error.message if isinstance(error, DeviceError) else "interrupted"
        command.model_copy(update={"ended": ended}).write(path)
        raise
    except BaseException:  # nothing that running it again would mend
        forget_command(command)
        raise
    forget_command(command)


def forget_command(command: RecordedCommand) -> None:
    _file(command).unlink(missing_ok=True)


def recorded_commands() -> list[RecordedCommand]:
    """All commands that are not done, the oldest first.

    Raises:
        ContractError: an entry cannot be read.
    """
    # A process may end, and with it its entry, meanwhile.
    return sorted(RecordedCommand.read_all(_folder()), key=lambda command: command.started_at)


def _folder() -> Path:
    return state_root() / "runs" / "commands"


def _file(command: RecordedCommand) -> Path:
    return _folder() / f"{command.id}.json"
