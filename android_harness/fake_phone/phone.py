"""The fake phone itself: a daemon on loopback in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from android_harness.adb.keys import load_keys
from android_harness.fake_phone.authentication import KeyRing
from android_harness.fake_phone.connection import Connection, Service
from android_harness.fake_phone.device_root import DeviceRoot, default_properties
from android_harness.fake_phone.faults import Faults
from android_harness.fake_phone.processes import Slowdown, kill_processes, running_processes
from android_harness.fake_phone.shell_service import parse_shell_service, serve_shell
from android_harness.fake_phone.sync_service import serve_sync
from android_harness.fake_phone.traffic import Traffic
from android_harness.fake_phone.wire import MAX_PAYLOAD_BYTES

_FEATURES = ("shell_v2", "cmd", "stat_v2")


class FakePhone:
    """A context manager; inside, `target` names a device that answers like a phone.

    Commands run on this host as this user, in a temporary folder that the phone takes for its
    file system: pushed and pulled paths are below it, and programs find it as $FWDLLM_WORKSPACE
    and $TMPDIR. Since whoever may connect may run commands, only this user's own keys are
    accepted unless told otherwise. On exit everything that was started is killed.

    Args:
        props: entries of the property table, over those of a plausible phone; with `files` the
            whole table.
        files: /proc and /sys of a recorded device, by absolute path, for device facts.
        scripts: programs on the phone, e.g. `dumpsys`, as POSIX sh by name.
        slowdown: how many times slower than this host its commands run, at least 1.
        faults: what goes wrong; may be replaced at any time.
        port: on loopback; 0 takes a free one.
        authentication: ask for a key at all.
        known_keys: trusted hosts, as in adbkey.pub; this user's when None.
        accept_new_keys: trust any host that offers its key.
        features: what the daemon says it can do.
        receive_buffer_bytes: a small TCP window, as over a slow network.
    """

    def __init__(
        self,
        *,
        props: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        scripts: Mapping[str, str] | None = None,
        slowdown: float = 1.0,
        faults: Faults | None = None,
        port: int = 0,
        authentication: bool = True,
        known_keys: tuple[str, ...] | None = None,
        accept_new_keys: bool = False,
        features: tuple[str, ...] = _FEATURES,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        if slowdown < 1:
            raise ValueError("slowdown must be at least 1")
        self._properties = {**({} if files else default_properties()), **(props or {})}
        self._files = files or {}
        self._scripts = scripts or {}
        self._slowdown_factor = slowdown
        self._features = features
        self._receive_buffer_bytes = receive_buffer_bytes
        self.faults = faults or Faults()
        self.port = port
        self.keys: KeyRing | None = None
        if authentication:
            known = _own_keys() if known_keys is None else known_keys
            self.keys = KeyRing(known, accept_new=accept_new_keys)
        self.traffic = Traffic()

    @property
    def target(self) -> str:
        """The phone as a --target value."""
        return f"adb-tcp:127.0.0.1:{self.port}"

    @property
    def banner(self) -> bytes:
        """What the phone says of itself when a host connects."""
        shown = ("ro.product.name", "ro.product.model", "ro.product.device")
        properties = "".join(f"{name}={self._properties.get(name, '')};" for name in shown)
        return f"device::{properties}features={','.join(self._features)}".encode()

    def running_processes(self) -> list[int]:
        """Process ids of everything that still runs on the phone."""
        return running_processes(self._root.marker)

    def drop_connections(self) -> None:
        """Cuts every host off, as a pulled cable does; commands run on, and hosts may return."""
        self._loop.call_soon_threadsafe(self._abort_connections)

    def reboot(self, *, off_s: float = 0.0) -> None:
        """Ends all that runs and is connected, and is back, with its files, `off_s` seconds later.

        Returns when it is back; with `files`, the boot is another one.
        """
        asyncio.run_coroutine_threadsafe(self._reboot(off_s), self._loop).result()

    @property
    def root(self) -> DeviceRoot:
        """The phone's file system."""
        return self._root

    def service(self, name: str) -> Service | None:
        """The service that a host asks to open; None when the phone has none such."""
        if name == "sync:":
            return functools.partial(
                serve_sync, root=self._root, faults=self.faults, traffic=self.traffic
            )
        request = parse_shell_service(name)
        if request is None or (request.packets and "shell_v2" not in self._features):
            return None
        return functools.partial(
            serve_shell,
            request=request,
            root=self._root,
            slowdown=self._slowdown,
            faults=self.faults,
            traffic=self.traffic,
        )

    def __enter__(self) -> Self:
        self._root = DeviceRoot(
            properties=self._properties, files=self._files, scripts=self._scripts
        )
        self._slowdown = Slowdown(self._slowdown_factor)
        listener = self._listener()
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._hosts: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(listener),), name=self.target
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.switch_off()

    def switch_off(self) -> None:
        """Drops all connections, then kills all that runs; a phone is switched off once."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()
            self._root.remove()

    def _abort_connections(self) -> None:
        for host in self._hosts:
            host.transport.abort()

    def _listener(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.port))
        if self._receive_buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        return listener

    async def _serve(self, listener: socket.socket) -> None:
        self._server = await self._started(listener)
        await self._stop.wait()
        self._slowdown.close()
        self._end_all()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _started(self, listener: socket.socket) -> asyncio.Server:
        async def serve_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.faults.refuse_connections:
                writer.transport.abort()
                return
            self._hosts.add(writer)
            if self.faults.drop_after_s is not None:
                self._loop.call_later(self.faults.drop_after_s, writer.transport.abort)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await Connection(self, reader, writer).serve()
            except asyncio.CancelledError:
                pass  # the phone is switched off
            finally:
                writer.transport.abort()
                self._hosts.discard(writer)

        return await asyncio.start_server(serve_host, sock=listener, limit=2 * MAX_PAYLOAD_BYTES)

    async def _reboot(self, off_s: float) -> None:
        self._end_all()
        await asyncio.sleep(off_s)
        boot_id = self._root.resolve("/system/proc/sys/kernel/random/boot_id")
        if boot_id.parent.is_dir():
            boot_id.write_text(f"{uuid.uuid4()}\n")
        kill_processes(self._root.marker)  # what a host had asked for just before
        self._server = await self._started(self._listener())

    def _end_all(self) -> None:
        self._server.close()
        self._abort_connections()
        kill_processes(self._root.marker)


def _own_keys() -> tuple[str, ...]:
    return tuple(key.public_key.decode() for key in load_keys())
