"""A phone or any Android device reached through adb-shell, over TCP or USB."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from android_harness.adb.connection import AdbConnection, AdbTimeouts
from android_harness.adb.file_sync import (
    open_for_reading,
    pull_file,
    push_file,
    stat_file,
)
from android_harness.adb.keys import KeySigner, load_keys
from android_harness.adb.shell_v2 import run_command, run_with_input
from android_harness.adb.socket_meter import SocketMeter
from android_harness.adb.tcp_transport import WholeTcpTransport
from android_harness.errors import DeviceBusyError, DeviceGoneError, UnsupportedDeviceError
from android_harness.interruption import Interruption
from android_harness.target import CommandResult, RemoteStat, SocketTraffic, Target
from android_harness.transfer_errors import transfer_error
from exporters.durable_files import replaced_atomically

_DEFAULT_WORKSPACE = "/data/local/tmp/fwdllm"
_BEGIN = 'mkdir -p "${1%/*}" && cat >"$1"'
_APPEND = 'cat >>"$1"'


class AdbTarget(Target):
    """A device with an ADB daemon.

    A connection carries one command at a time. Over TCP a command that finds all connections
    busy opens another; over USB there can be but one, so commands take turns. A connection that
    saw an error is closed, because packets of its abandoned stream may still arrive.

    Args:
        name: the target as given to --target.
        connect: makes a new authenticated connection.
        single_connection: the device offers no more than one (USB).
        meter: counts the bytes of all connections, where these are sockets.

    The workspace is the device's `$FWDLLM_WORKSPACE`, or /data/local/tmp/fwdllm.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], AdbConnection],
        *,
        single_connection: bool = False,
        meter: SocketMeter | None = None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._meter = meter
        self._idle: list[AdbConnection] = []
        self._busy: dict[AdbConnection, int] = {}  # and the threads that use them
        self._interruption = Interruption()
        self._lock = threading.Lock()
        self._turn = threading.Semaphore(1 if single_connection else 1 << 16)
        self._closed = False
        said = self.check(["sh", "-c", f"echo ${{FWDLLM_WORKSPACE:-{_DEFAULT_WORKSPACE}}}"])
        self.workspace = PurePosixPath(said.stdout.decode().strip())

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        with self._connection() as connection:
            return run_command(connection, shlex.join(command), timeout_s=timeout_s)

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
        command = ["sh", "-c", _APPEND if offset else _BEGIN, "append", str(remote)]
        with open_for_reading(local, device=self.name) as file, self._connection() as connection:
            file.seek(offset)
            result = run_with_input(
                connection,
                shlex.join(command),
                file,
                progress=lambda sent: progress(offset + sent) if progress else None,
            )
        if result.exit_code != 0:
            raise transfer_error(
                result.stderr.decode(errors="replace").strip() or f"exit code {result.exit_code}",
                device=self.name,
                file=remote,
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
            for connection, user in self._busy.items():
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
    def _connection(self) -> Iterator[AdbConnection]:
        with self._turn:
            connection = self._take_idle() or self._connect()
            with self._lock:
                self._busy[connection] = threading.get_ident()
            try:
                self._interruption.check()
                yield connection
            except BaseException:
                connection.close()
                self._interruption.check()  # it is why the link broke
                raise
            finally:
                with self._lock:
                    del self._busy[connection]
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    return
            connection.close()

    def _take_idle(self) -> AdbConnection | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_alive():
                    return connection
                connection.close()
        return None


def open_tcp_target(host: str, port: int, *, timeouts: AdbTimeouts) -> AdbTarget:
    """A device whose daemon listens on TCP (`adb tcpip 5555`, an emulator, a fake phone).

    Raises:
        UnauthorizedError, DeviceGoneError, DeviceTimeoutError, DeviceProtocolError
    """
    name = f"adb-tcp:[{host}]:{port}" if ":" in host else f"adb-tcp:{host}:{port}"
    keys = load_keys()
    meter = SocketMeter()

    def connect() -> AdbConnection:
        transport = WholeTcpTransport(host, port, meter)
        connection = AdbConnection(transport, device=name, timeouts=timeouts)
        return _connected(connection, keys)

    return AdbTarget(name, connect, meter=meter)


def open_usb_target(serial: str, *, timeouts: AdbTimeouts) -> AdbTarget:
    """A device on USB that no adb server holds.

    Raises:
        DeviceBusyError: an adb server, or another program, has claimed it.
        DeviceGoneError: no such device is plugged in.
        UnsupportedDeviceError: this machine has no libusb.
        UnauthorizedError, DeviceTimeoutError, DeviceProtocolError
    """
    name = f"adb:{serial}"
    try:
        import usb1
        from adb_shell.exceptions import UsbDeviceNotFoundError

        from android_harness.adb.usb_transport import ZeroTerminatedUsbTransport
    except (ImportError, OSError) as error:
        raise UnsupportedDeviceError(
            f"USB is not available on this machine: {error}",
            device=name,
            remedy="install libusb 1.0, or use --target adb-tcp:HOST:PORT",
        ) from error
    keys = load_keys()

    def connect() -> AdbConnection:
        try:
            transport = ZeroTerminatedUsbTransport.find_adb(serial=serial)
            connection = AdbConnection(transport, device=name, timeouts=timeouts)
            return _connected(connection, keys)
        except UsbDeviceNotFoundError as error:
            raise DeviceGoneError("no such device on USB", device=name) from error
        except usb1.USBErrorBusy as error:
            raise DeviceBusyError("another program holds it on USB", device=name) from error
        except usb1.USBErrorAccess as error:
            raise DeviceBusyError(
                "this user may not open it on USB",
                device=name,
                remedy="add a udev rule for the device, or use --target adb-tcp:HOST:PORT",
            ) from error
        except usb1.USBError as error:
            raise DeviceGoneError(f"USB failed: {error}", device=name) from error

    return AdbTarget(name, connect, single_connection=True)


def _connected(connection: AdbConnection, keys: list[KeySigner]) -> AdbConnection:
    try:
        connection.connect(keys)
    except BaseException:
        connection.close()
        raise
    return connection
