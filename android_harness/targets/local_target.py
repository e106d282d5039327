"""This machine, or any Linux edge board, as a target."""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from android_harness.adb.link import Deadline
from android_harness.errors import DeviceTimeoutError
from android_harness.host_folders import cache_root
from android_harness.interruption import Interruption
from android_harness.target import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    CommandResult,
    RemoteStat,
    Target,
    command_error,
    shortened,
)
from android_harness.transfer_errors import transfer_error

_CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16


class LocalTarget(Target):
    """Commands run as children of this process, each in a process group of its own.

    Args:
        workspace: the folder for the target's files; under the cache root when None.
    """

    def __init__(self, workspace: Path | None = None) -> None:
        self.name = "local"
        self.workspace = PurePosixPath((workspace or cache_root() / "local").absolute())
        self._interruption = Interruption()
        self._running: dict[subprocess.Popen[bytes], int] = {}  # and the threads that wait for it

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        process = _started(command, stderr=subprocess.PIPE)
        if isinstance(process, CommandResult):
            return process
        try:
            with self._interruptible(process):
                stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException as error:
            _kill_group(process)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise self._took_too_long(command, timeout_s) from error
            raise
        return CommandResult(_exit_code(process), stdout, stderr)

    @contextmanager
    def stream(
        self, command: Sequence[str], *, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        with tempfile.TemporaryFile() as errors:
            process = _started(command, stderr=errors)
            if isinstance(process, CommandResult):
                raise command_error(process, command, device=self.name)
            try:
                with self._interruptible(process):
                    yield self._pieces(process, command, errors, timeout_s)
            finally:
                if process.returncode is None:
                    _kill_group(process)
                    process.communicate()

    @contextmanager
    def _interruptible(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Whoever waits for the process can be interrupted."""
        self._running[process] = threading.get_ident()
        try:
            self._interruption.check()
            yield
        finally:
            del self._running[process]
            self._interruption.check()  # it is why the process ended

    def _pieces(
        self,
        process: subprocess.Popen[bytes],
        command: Sequence[str],
        errors: IO[bytes],
        timeout_s: float | None,
    ) -> Iterator[bytes]:
        by = Deadline(timeout_s)
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(by.transport_timeout_s):
                    raise self._took_too_long(command, timeout_s)
                piece = os.read(process.stdout.fileno(), _PIECE_BYTES)
                if not piece:
                    break
                yield piece
        try:
            process.wait(by.transport_timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self._took_too_long(command, timeout_s) from error
        errors.seek(0)
        result = CommandResult(_exit_code(process), b"", errors.read())
        if result.exit_code != 0:
            raise command_error(result, command, device=self.name)

    def _took_too_long(self, command: Sequence[str], timeout_s: float | None) -> DeviceTimeoutError:
        return DeviceTimeoutError(
            f"still running after {timeout_s} s; killed",
            device=self.name,
            command=shortened(shlex.join(command)),
            phase="running",
        )

    def push(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._copy(local, Path(remote), blamed=local, progress=progress)

    def append(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        offset: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        to = Path(remote)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.touch()
            with local.open("rb") as reader, to.open("r+b") as writer:
                reader.seek(offset)
                writer.seek(offset)
                while chunk := reader.read(_CHUNK_BYTES):
                    self._interruption.check()
                    writer.write(chunk)
                    if progress is not None:
                        progress(reader.tell())
        except OSError as error:
            raise transfer_error(str(error), device=self.name, file=local) from error

    def stat(self, remote: PurePosixPath) -> RemoteStat | None:
        try:
            found = Path(remote).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise transfer_error(str(error), device=self.name, file=remote) from error
        return RemoteStat(found.st_mode, found.st_size)

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        self._copy(Path(remote), local, blamed=local, progress=None)

    def interrupt(self, thread: int) -> None:
        self._interruption.ask(thread)
        for process, waiting in list(self._running.items()):
            if waiting == thread:
                _kill_group(process)

    def close(self) -> None:
        """Nothing is held open."""

    def _copy(
        self, source: Path, to: Path, *, blamed: Path, progress: Callable[[int], None] | None
    ) -> None:
        # A copy and not a hard link: what runs on the target may rewrite its files in place.
        temporary = to.with_name(f".{to.name}.{uuid.uuid4().hex}")
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                with source.open("rb") as reader, temporary.open("wb") as writer:
                    copied = 0
                    while chunk := reader.read(_CHUNK_BYTES):
                        self._interruption.check()
                        writer.write(chunk)
                        copied += len(chunk)
                        if progress is not None:
                            progress(copied)
                shutil.copymode(source, temporary)
                temporary.replace(to)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise transfer_error(str(error), device=self.name, file=blamed) from error


def _started(
    command: Sequence[str], *, stderr: int | IO[bytes]
) -> subprocess.Popen[bytes] | CommandResult:
    """The process in a group of its own; the result of one that could not be started."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        return CommandResult(NOT_FOUND, b"", str(error).encode())
    except OSError as error:
        return CommandResult(NOT_EXECUTABLE, b"", str(error).encode())


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    code: int = process.returncode
    return code if code >= 0 else 128 - code


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # it ended by itself in the meantime
        os.killpg(process.pid, signal.SIGKILL)
