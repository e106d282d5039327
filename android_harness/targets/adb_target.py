"""A phone or any Android device, whatever carries the connection to its ADB daemon."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from android_harness.adb.file_sync import (
    open_for_reading,
    pull_file,
    push_file,
    stat_file,
)
from android_harness.adb.link import DeviceConnection
from android_harness.adb.shell_v2 import run_command, run_with_input, stream_command
from android_harness.adb.socket_meter import SocketMeter
from android_harness.errors import DeviceBusyError, DeviceTimeoutError
from android_harness.interruption import Interruption
from android_harness.target import (
    APPEND_BLOCK_BYTES,
    CommandResult,
    RemoteStat,
    SocketTraffic,
    Target,
    command_error,
)
from android_harness.targets.turns import Turns
from android_harness.transfer_errors import transfer_error
from exporters.durable_files import replaced_atomically

_HOLDS = " held the only connection that there is over USB"
_DEFAULT_WORKSPACE = "/data/local/tmp/fwdllm"
_ANSWER_TIMEOUT_S = 15.0
# Writes its input to the file $1 from block $2 on.
_APPEND = f"""
mkdir -p "${{1%/*}}" && dd of="$1" bs={APPEND_BLOCK_BYTES} seek="$2" conv=notrunc
"""
_DD_STATISTICS = re.compile(r"\d+(\+\d+ records| bytes)")


class AdbTarget(Target):
    """A device with an ADB daemon.

    A connection carries one command at a time. Over TCP and through the adb server a command that
    finds all connections busy opens another; over USB there can be but one, so commands take
    turns. A connection that saw an error is closed, because packets of its abandoned stream may
    still arrive.

    Args:
        name: the target as given to --target.
        connect: makes a new connection; raises a `DeviceError` that says why it cannot.
        single_connection: the device offers no more than one (USB).
        meter: counts the bytes of all connections, where these are sockets.

    The workspace is the device's `$FWDLLM_WORKSPACE`, or /data/local/tmp/fwdllm.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], DeviceConnection],
        *,
        single_connection: bool = False,
        meter: SocketMeter | None = None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._meter = meter
        self._idle: list[DeviceConnection] = []
        self._in_use: dict[DeviceConnection, int] = {}  # and the threads that use them
        self._interruption = Interruption()
        self._lock = threading.Lock()
        self.single_connection = single_connection
        self._turns = Turns()
        self._holder: int | None = None
        self._closed = False
        where = f"echo ${{FWDLLM_WORKSPACE:-{_DEFAULT_WORKSPACE}}}"
        said = self.check(["sh", "-c", where], timeout_s=_ANSWER_TIMEOUT_S)
        self.workspace = PurePosixPath(said.stdout.decode().strip())

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        with self._connection(timeout_s) as connection:
            return run_command(connection, shlex.join(command), timeout_s=timeout_s)

    @contextmanager
    def stream(
        self, command: Sequence[str], *, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        with self._connection(timeout_s) as connection:
            output = stream_command(connection, shlex.join(command), timeout_s=timeout_s)
            ended = False

            def pieces() -> Iterator[bytes]:
                nonlocal ended
                result = yield from output
                ended = True
                if result.exit_code != 0:
                    raise command_error(result, command, device=self.name)

            yield pieces()
            if not ended:
                connection.close()  # packets of the abandoned stream may still arrive

    def push(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        with open_for_reading(local, device=self.name) as file, self._connection() as connection:
            push_file(connection, file, remote, mtime=int(time.time()), progress=progress)

    def append(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        offset: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        # Not by `sync:`, whose daemon removes what had arrived when the link breaks.
        blocks, rest = divmod(offset, APPEND_BLOCK_BYTES)
        if rest:
            raise ValueError(f"{offset} is not a multiple of {APPEND_BLOCK_BYTES}")
        command = ["sh", "-c", _APPEND, "append", str(remote), str(blocks)]
        with open_for_reading(local, device=self.name) as file, self._connection() as connection:
            file.seek(offset)
            result = run_with_input(
                connection,
                shlex.join(command),
                file,
                progress=lambda sent: progress(offset + sent) if progress else None,
            )
        if result.exit_code != 0:
            said = result.stderr.decode(errors="replace").strip().splitlines()
            complaints = [line for line in said if not _DD_STATISTICS.match(line)]
            raise transfer_error(
                "; ".join(complaints) or f"exit code {result.exit_code}",
                device=self.name,
                file=remote,
                phase="appending",
            )

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        try:
            with (
                replaced_atomically(local) as temporary,
                temporary.open("wb") as file,
                self._connection() as connection,
            ):
                pull_file(connection, remote, file)
        except OSError as error:
            raise transfer_error(str(error), device=self.name, file=local) from error

    def stat(self, remote: PurePosixPath) -> RemoteStat | None:
        with self._connection() as connection:
            return stat_file(connection, remote)

    def interrupt(self, thread: int) -> None:
        self._interruption.ask(thread)
        with self._lock:
            for connection, user in self._in_use.items():
                if user == thread:
                    connection.interrupt()

    def traffic(self) -> SocketTraffic | None:
        return None if self._meter is None else self._meter.traffic

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _connection(self, timeout_s: float | None = None) -> Iterator[DeviceConnection]:
        with self._turn(timeout_s):
            connection = self._take_idle() or self._connect()
            with self._lock:
                self._in_use[connection] = threading.get_ident()
            try:
                self._interruption.check()
                yield connection
                self._interruption.check()  # where a command under way could not be ended
            except BaseException:
                connection.close()
                self._interruption.check()  # it is why the link broke
                raise
            finally:
                with self._lock:
                    del self._in_use[connection]
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    return
            connection.close()

    @contextmanager
    def _turn(self, timeout_s: float | None) -> Iterator[None]:
        """Waits until the only connection is free, where there can be but one."""
        if not self.single_connection:
            yield
            return
        if self._holder == threading.get_ident():
            raise DeviceBusyError("a stream of this thread" + _HOLDS, **self._advice)
        if not self._turns.take(timeout_s):
            message = f"for {timeout_s:g} s another command" + _HOLDS
            raise DeviceTimeoutError(message, **self._advice)
        self._holder = threading.get_ident()
        try:
            yield
        finally:
            self._holder = None
            self._turns.pass_on()

    @property
    def _advice(self) -> dict[str, str]:
        return {
            "device": self.name,
            "phase": "connecting",
            "remedy": "start an adb server (`adb start-server`), which carries several commands "
            "over one cable, or use adb-tcp:HOST:PORT",
        }

    def _take_idle(self) -> DeviceConnection | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_alive():
                    return connection
                connection.close()
        return None
