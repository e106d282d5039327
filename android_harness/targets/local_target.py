"""This machine, or any Linux edge board, as a target."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from android_harness.errors import DeviceTimeoutError
from android_harness.host_folders import cache_root
from android_harness.interruption import Interruption
from android_harness.target import NOT_EXECUTABLE, NOT_FOUND, CommandResult, RemoteStat, Target
from android_harness.transfer_errors import transfer_error

_CHUNK_BYTES = 1 << 20


class LocalTarget(Target):
    """Commands run as children of this process, each in a process group of its own.

    Args:
        workspace: the folder for the target's files; under the cache root when None.
    """

    def __init__(self, workspace: Path | None = None) -> None:
        self.name = "local"
        self.workspace = PurePosixPath((workspace or cache_root() / "local").absolute())
        self._interruption = Interruption()
        self._running: dict[int, subprocess.Popen[bytes]] = {}  # by the thread that waits for it

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            return CommandResult(NOT_FOUND, b"", str(error).encode())
        except OSError as error:
            return CommandResult(NOT_EXECUTABLE, b"", str(error).encode())
        self._running[threading.get_ident()] = process
        try:
            self._interruption.check()
            stdout, stderr = process.communicate(timeout=timeout_s)
            self._interruption.check()
        except BaseException as error:
            _kill_group(process.pid)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise DeviceTimeoutError(
                    f"still running after {timeout_s:g} s; killed",
                    device=self.name,
                    command=shlex.join(command),
                ) from error
            raise
        finally:
            del self._running[threading.get_ident()]
        code = process.returncode
        return CommandResult(code if code >= 0 else 128 - code, stdout, stderr)

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
        try:
            Path(remote).parent.mkdir(parents=True, exist_ok=True)
            with local.open("rb") as reader, Path(remote).open("ab" if offset else "wb") as writer:
                reader.seek(offset)
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
        if (process := self._running.get(thread)) is not None:
            _kill_group(process.pid)

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


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):  # it ended by itself in the meantime
        os.killpg(leader, signal.SIGKILL)
