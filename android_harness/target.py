"""A target: a device on which commands run and where files can be put, however it is reached."""

from __future__ import annotations

import re
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from android_harness.errors import (
    LOST,
    CommandFailedError,
    CommandKilledError,
    DeviceError,
    DeviceState,
    ExecutionDeniedError,
    MissingProgramError,
    NoSpaceError,
    NotExecutableError,
    PermissionDeniedError,
    WrongAbiError,
)

NOT_EXECUTABLE = 126  # the POSIX shell's exit codes for programs it could not start
NOT_FOUND = 127

APPEND_BLOCK_BYTES = 1 << 20  # what offsets of `Target.append` are multiples of

# Between attempts to reach a lost device.
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_ANSWER_TIMEOUT_S = 10.0
_LAST_SIGNAL = 64
_AVC_DENIED = re.compile(r"avc: +denied")


@dataclass(frozen=True)
class CommandResult:
    """How a command ended. A signal N reads as exit code 128 + N."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class SocketTraffic:
    """Bytes that went through a target's sockets since it was opened, protocol included.

    Counted at the socket calls of this process: what the kernel took, and what it handed over.
    """

    sent: int
    received: int


@dataclass(frozen=True)
class RemoteStat:
    """A file on a device. Before ADB's `stat_v2` (Android 8) sizes are modulo 4 GiB."""

    mode: int
    size: int


class Target(ABC):
    """A device. Methods may be called from several threads; errors are `DeviceError`s.

    Attributes:
        name: as given to --target: `local`, `adb:SERIAL` or `adb-tcp:HOST:PORT`.
        workspace: the one folder on the device that this project writes to.
        single_connection: only one command at a time can be carried, so that others wait for it.
    """

    name: str
    workspace: PurePosixPath
    single_connection: bool = False

    @abstractmethod
    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        """Runs a program with its arguments and waits for its end, whatever its exit code.

        Only a reported exit code counts as an end; a broken link raises.

        Raises:
            DeviceTimeoutError: it still ran after `timeout_s` seconds. On a phone it may go on
                running: long programs belong in `runs/detached_run.py`.
            DeviceGoneError: the device vanished while the command ran.
        """

    @abstractmethod
    def stream(
        self, command: Sequence[str], *, timeout_s: float | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Runs a program and gives its standard output in pieces, as they arrive.

        The pieces break anywhere; `whole_lines` makes lines of them. They end with the program,
        whose exit code is then looked at. Leaving the context earlier closes the stream: on this
        machine that kills the program; on a phone it may go on until it next writes. Over USB
        without an adb server no other command runs meanwhile.

        Raises:
            CommandFailedError and the others of `check`: at the end of the pieces.
            DeviceTimeoutError: it still ran after `timeout_s` seconds.
            DeviceGoneError: the device vanished while the command ran.
        """

    @abstractmethod
    def push(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Copies a file to the device, making parent folders; unverified (see `ContentStore`).

        Args:
            progress: called with the bytes sent so far.

        Raises:
            NoSpaceError, PermissionDeniedError, MissingFileError, TransferError: as the device
                or this machine says.
        """

    @abstractmethod
    def append(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        offset: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Sends what `local` has from byte `offset` on to the same place of a file on the device.

        What has arrived stays when the link breaks, so that the rest can follow: `stat` says how
        much that is. Bytes have fixed places and a file never shrinks, so that what a lost
        connection still writes, or another process that sends the same file, does no harm.

        Args:
            offset: in whole `APPEND_BLOCK_BYTES`, and at most the size of the file on the device,
                which need not be there at 0.
            progress: called with the bytes of `local` that are there so far, `offset` included.

        Raises:
            NoSpaceError, PermissionDeniedError, MissingFileError, TransferError: as the device
                or this machine says.
            DeviceGoneError, DeviceTimeoutError: the link broke.
        """

    @abstractmethod
    def stat(self, remote: PurePosixPath) -> RemoteStat | None:
        """Mode and size of a file on the device; None when there is none.

        Raises:
            TransferError: the device may not look there.
        """

    @abstractmethod
    def pull(self, remote: PurePosixPath, local: Path) -> None:
        """Copies a file from the device; `local` appears whole or not at all.

        Raises:
            MissingFileError, PermissionDeniedError, TransferError: as the device says.
        """

    @abstractmethod
    def interrupt(self, thread: int) -> None:
        """Raises `KeyboardInterrupt` in what another thread does on this target.

        It comes out of the call in which the thread waits, or else of its next one, once: what
        the thread calls after that, to clean up, goes through. Over USB a transfer under way ends
        first.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends all connections; a closed target is not used again."""

    def state(self) -> DeviceState:
        """What the device is just now: `device` when it answers commands.

        Takes as long as connecting and the time-outs do where it does not answer.
        """
        try:
            self.run(["true"], timeout_s=_ANSWER_TIMEOUT_S)
        except DeviceError as error:
            return error.state
        return "device"

    def wait_for(self, *, timeout_s: float) -> None:
        """Waits until the device answers commands, also after it was lost.

        Raises:
            UnauthorizedError, DeviceBusyError, DeviceForbiddenError: waiting does not help without
                its user.
            DeviceError: why the device could still not be reached after `timeout_s` seconds.
        """
        end, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
        while True:
            try:
                self.run(["true"], timeout_s=_ANSWER_TIMEOUT_S)
                return
            except LOST:
                if time.monotonic() + pause_s > end:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def traffic(self) -> SocketTraffic | None:
        """The bytes sent and received so far; None for a target that is not behind a socket."""
        return None

    def check(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        """Like `run`, for commands that must succeed.

        Raises:
            MissingProgramError, NotExecutableError, WrongAbiError, CommandKilledError,
            NoSpaceError, PermissionDeniedError, CommandFailedError: by exit code and message.
        """
        result = self.run(command, timeout_s=timeout_s)
        if result.exit_code != 0:
            program_is_executable = result.exit_code == NOT_EXECUTABLE and self._may_run(command[0])
            raise command_error(
                result, command, device=self.name, program_is_executable=program_is_executable
            )
        return result

    def _may_run(self, program: str) -> bool:
        """Whether a program's file has the mode of one."""
        try:
            found = self.stat(PurePosixPath(program)) if "/" in program else None
        except DeviceError:
            return False
        return found is not None and bool(found.mode & 0o111)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, without their ends, out of pieces that break anywhere."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def command_error(
    result: CommandResult,
    command: Sequence[str],
    *,
    device: str,
    program_is_executable: bool = False,
) -> CommandFailedError | NoSpaceError | PermissionDeniedError | WrongAbiError:
    """The typed error for a command that ended with a non-zero exit code.

    Args:
        program_is_executable: the mode of the program's file allows to run it.
    """
    said = result.stderr.decode(errors="replace").strip().splitlines()
    shown = shortened(shlex.join(command))
    signal = result.exit_code - 128
    if 0 < signal <= _LAST_SIGNAL:
        message = f"killed by signal {signal}" + (f", {said[-1]}" if said else "")
        return CommandKilledError(message, device=device, command=shown, signal=signal)
    message = f"exit code {result.exit_code}" + (f", {said[-1]}" if said else "")
    kind: type[CommandFailedError | NoSpaceError | PermissionDeniedError | WrongAbiError]
    if _AVC_DENIED.search("\n".join(said)):
        kind = ExecutionDeniedError
    elif _is_foreign_program(message, command):
        kind = WrongAbiError
    elif result.exit_code == NOT_FOUND:
        kind = MissingProgramError
    elif result.exit_code == NOT_EXECUTABLE:
        denied = program_is_executable and "Permission denied" in message
        kind = ExecutionDeniedError if denied else NotExecutableError
    elif "No space left" in message:
        kind = NoSpaceError
    elif "Permission denied" in message or "Read-only file system" in message:
        kind = PermissionDeniedError
    else:
        kind = CommandFailedError
    return kind(message, device=device, command=shown, phase="running")


def _is_foreign_program(message: str, command: Sequence[str]) -> bool:
    """Whether the kernel refused a binary, or a shell then took it for a script of its own.

    mksh names the ELF file; dash and others stumble over the first bytes.
    """
    if "Exec format error" in message or "ELF file" in message:
        return True
    asked_for_a_shell = PurePosixPath(command[0]).name == "sh"
    return "syntax error" in message.lower() and not asked_for_a_shell


def shortened(command: str) -> str:
    """A command line as messages show it."""
    return command if len(command) <= 120 else command[:117] + "..."
