"""An adb server that is none: its socket protocol on loopback, in front of fake phones.

Written from adb's OVERVIEW.TXT, SERVICES.TXT and SYNC.TXT.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from android_harness.fake_phone import FakePhone
from android_harness.fake_phone.connection import DropConnectionError, StreamClosedError

_VERSION = 41
_CHUNK_BYTES = 64 * 1024

# What the server answers for a device that it cannot use.
_REFUSALS = {
    "offline": "device offline",
    "connecting": "device still connecting",
    "authorizing": "device still authorizing",
    "unauthorized": (
        "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\n"
        "Try 'adb kill-server' if that seems wrong.\n"
        "Otherwise check for a confirmation dialog on your device."
    ),
    "no permissions (missing udev rules? user is in the plugdev group); see [http://x.y/z.html]": (
        "insufficient permissions for device: missing udev rules? user is in the plugdev group"
    ),
}


class FakeAdbServer:
    """A context manager; phones are plugged in and out while it runs.

    Commands run in its own loop: switch a phone off before the server ends.

    Attributes:
        port: where it listens, on loopback.
        tracker: the services that follow the devices and that it knows.
    """

    def __init__(
        self, *, port: int = 0, tracker: tuple[str, ...] = ("track-devices", "track-devices-l")
    ) -> None:
        self.port = port
        self.tracker = tracker
        self._phones: dict[str, tuple[FakePhone | None, str]] = {}
        self._writers: dict[str, set[asyncio.StreamWriter]] = {}
        self._services: set[asyncio.Task[object]] = set()

    def plug_in(self, serial: str, phone: FakePhone | None, state: str = "device") -> None:
        """Adds a device, or changes its state."""
        self._call(self._set, serial, (phone, state))

    def unplug(self, serial: str) -> None:
        """Removes a device and cuts what goes on with it."""
        self._call(self._set, serial, None)

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._changed = asyncio.Condition()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(listener),)
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _call(self, action: object, *arguments: object) -> None:
        asyncio.run_coroutine_threadsafe(action(*arguments), self._loop).result()  # type: ignore[operator]

    async def _set(self, serial: str, device: tuple[FakePhone | None, str] | None) -> None:
        async with self._changed:
            if device is None:
                del self._phones[serial]
                for writer in self._writers.pop(serial, ()):
                    writer.transport.abort()
            else:
                self._phones[serial] = device
            self._changed.notify_all()

    async def _serve(self, listener: socket.socket) -> None:
        clients: set[asyncio.StreamWriter] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            clients.add(writer)
            with contextlib.suppress(
                asyncio.IncompleteReadError,
                asyncio.CancelledError,
                ConnectionError,
                StreamClosedError,
                DropConnectionError,
            ):
                await self._client(reader, writer)
                # Closing at once would reset the connection, and what was said could be lost.
                writer.write_eof()
                while await reader.read(_CHUNK_BYTES):
                    pass
            clients.discard(writer)
            writer.close()

        server = await asyncio.start_server(serve, sock=listener)
        await self._stop.wait()
        server.close()
        for client in clients:
            client.transport.abort()
        if self._services:
            await asyncio.wait(self._services, timeout=10)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _request(reader)
        if request == "host:version":
            _okay(writer, f"{_VERSION:04x}")
        elif request == "host:devices-l":
            _okay(writer, self._listing(long=True))
        elif request.removeprefix("host:") in self.tracker:
            await self._track(writer, long=request.endswith("-l"))
        elif request.startswith("host-serial:"):
            serial, _, question = request.removeprefix("host-serial:").rpartition(":")
            phone = self._usable(serial, writer)
            if phone is not None and question == "get-state":
                _okay(writer, self._phones[serial][1])
            elif phone is not None and question == "features":
                _okay(writer, phone.banner.decode().rpartition("features=")[2])
        elif request.startswith("host:transport:"):
            serial = request.removeprefix("host:transport:")
            phone = self._usable(serial, writer)
            if phone is not None:
                writer.write(b"OKAY")
                self._writers.setdefault(serial, set()).add(writer)
                await self._bridge(phone, await _request(reader), reader, writer)
        else:
            _fail(writer, "unknown host service")
        await writer.drain()

    def _usable(self, serial: str, writer: asyncio.StreamWriter) -> FakePhone | None:
        phone, state = self._phones.get(serial, (None, "absent"))
        if serial not in self._phones:
            _fail(writer, f"device '{serial}' not found")
        elif state in _REFUSALS:
            _fail(writer, _REFUSALS[state])
        else:
            return phone
        return None

    def _listing(self, *, long: bool) -> str:
        lines = []
        for number, (serial, (phone, state)) in enumerate(self._phones.items(), start=1):
            model = "product:fake model:Fake_Phone device:fake " if phone else ""
            lines.append(
                f"{serial:<22} {state} usb:1-{number} {model}transport_id:{number}\n"
                if long
                else f"{serial}\t{state}\n"
            )
        return "".join(lines)

    async def _track(self, writer: asyncio.StreamWriter, *, long: bool) -> None:
        writer.write(b"OKAY")
        async with self._changed:
            while True:
                _text(writer, self._listing(long=long))
                await writer.drain()
                await self._changed.wait()

    async def _bridge(
        self,
        phone: FakePhone,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        refused = phone.faults.refuse_service
        service = phone.service(name)
        if service is None or (refused is not None and name.startswith(refused)):
            _fail(writer, "closed")
            return
        writer.write(b"OKAY")
        task = asyncio.current_task()
        assert task is not None
        self._services.add(task)
        try:
            await service(_SocketStream(reader, writer))  # type: ignore[arg-type]
        finally:
            self._services.discard(task)


class _SocketStream:
    """A stream as the phone's services see it, over the socket of a server's client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self.muted = False

    async def write(self, data: bytes) -> None:
        async with self._turn:
            try:
                self._writer.write(data)
                await self._writer.drain()
            except ConnectionError as error:
                raise StreamClosedError from error

    send_unacknowledged = write

    async def read(self) -> bytes:
        data = await self._reader.read(_CHUNK_BYTES)
        if not data:
            raise StreamClosedError
        return data

    async def read_exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise StreamClosedError from error


async def _request(reader: asyncio.StreamReader) -> str:
    length = int(await reader.readexactly(4), 16)
    return (await reader.readexactly(length)).decode(errors="surrogateescape")


def _okay(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(b"OKAY")
    _text(writer, text)


def _fail(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(b"FAIL")
    _text(writer, text)


def _text(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(b"%04x" % len(data) + data)
