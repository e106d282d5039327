"""One host connected to the fake phone: handshake, then streams to services."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from android_harness.fake_phone.authentication import KeyRing
from android_harness.fake_phone.faults import Faults
from android_harness.fake_phone.wire import (
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    VERSION,
    VERSION_WITHOUT_CHECKSUMS,
    Message,
    WireError,
    read_message,
)

_AUTH_TOKEN, _AUTH_SIGNATURE, _AUTH_PUBLIC_KEY = 1, 2, 3


class StreamClosedError(Exception):
    """The host closed the stream, or is gone."""


class DropConnectionError(Exception):
    """A fault asks for the end of the connection."""


Service = Callable[["Stream"], Awaitable[None]]


class Phone(Protocol):
    """What a connection needs of the phone."""

    faults: Faults
    keys: KeyRing | None

    @property
    def banner(self) -> bytes:
        """What the phone says of itself in its CNXN."""

    def service(self, name: str) -> Service | None:
        """The service behind an OPEN, or None to refuse it."""


class Stream:
    """One stream as the service sees it: bytes in, bytes out, one unacknowledged message a side."""

    def __init__(self, connection: Connection, local_id: int, remote_id: int) -> None:
        self._connection = connection
        self._local_id = local_id
        self._remote_id = remote_id
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unread = bytearray()
        self._writing = asyncio.Lock()
        self._acknowledged = asyncio.Event()
        self.closed = False
        self.muted = False  # a fault: no more acknowledgements

    async def write(self, data: bytes) -> None:
        """Sends data and waits until the host took it; from several tasks in turn."""
        limit = self._connection.max_payload_bytes
        async with self._writing:
            for start in range(0, len(data), limit):
                if self.closed:
                    raise StreamClosedError
                self._acknowledged.clear()
                await self._send(b"WRTE", data[start : start + limit])
                await self._acknowledged.wait()

    async def send_unacknowledged(self, data: bytes) -> None:
        """Sends data and does not wait for the host to take it."""
        await self._send(b"WRTE", data)

    async def read(self) -> bytes:
        """The next data of the host.

        Raises:
            StreamClosedError: there is no more.
        """
        if self._unread:
            data, self._unread = bytes(self._unread), bytearray()
            return data
        return await self._next()

    async def read_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._unread += await self._next()
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def received(self, data: bytes) -> None:
        self._incoming.put_nowait(data)

    def acknowledged(self) -> None:
        self._acknowledged.set()

    def end(self) -> None:
        """The host closed the stream or is gone."""
        self.closed = True
        self._incoming.put_nowait(None)
        self._acknowledged.set()

    async def _next(self) -> bytes:
        arrived = await self._incoming.get()
        if arrived is None:
            self.closed = True
            self._incoming.put_nowait(None)
            raise StreamClosedError
        if not self.muted:
            await self._send(b"OKAY")
        return arrived

    async def _send(self, command: bytes, data: bytes = b"") -> None:
        await self._connection.send(Message(command, self._local_id, self._remote_id, data))


class Connection:
    """Serves one host until it leaves."""

    def __init__(
        self, phone: Phone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._phone = phone
        self._reader = reader
        self._writer = writer
        self._checksums = True
        self._streams: dict[int, Stream] = {}
        self._services: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._received_bytes = 0
        self.max_payload_bytes = MAX_PAYLOAD_BYTES

    async def serve(self) -> None:
        """Returns when the host is gone; what it left running on the phone runs on."""
        try:
            await self._handshake()
            while True:
                await self._dispatch(await self._read())
        except (
            asyncio.IncompleteReadError,
            ConnectionError,
            WireError,
            DropConnectionError,
            StreamClosedError,
        ):
            pass  # the host is gone, speaks something else, or a fault ends it
        finally:
            for stream in self._streams.values():
                stream.end()
            self._writer.close()
            if self._services:
                await asyncio.wait(self._services)

    async def send(self, message: Message) -> None:
        if self._writer.is_closing():
            raise StreamClosedError
        try:
            self._writer.write(message.pack(with_checksum=self._checksums))
            await self._writer.drain()
        except ConnectionError as error:
            raise StreamClosedError from error

    def drop(self) -> None:
        """Ends the connection at once, as when the daemon is killed."""
        self._writer.transport.abort()

    async def _handshake(self) -> None:
        hello = await self._read()
        while hello.command != b"CNXN":
            hello = await self._read()
        await self._authenticate()
        version = min(hello.arg0, VERSION)
        self.max_payload_bytes = min(hello.arg1, MAX_PAYLOAD_BYTES)
        self._checksums = version < VERSION_WITHOUT_CHECKSUMS
        self._received_bytes = 0
        banner = self._phone.banner
        await self.send(Message(b"CNXN", version, self.max_payload_bytes, banner))

    async def _authenticate(self) -> None:
        keys = self._phone.keys
        if keys is None:
            return
        token = keys.new_token()
        await self.send(Message(b"AUTH", _AUTH_TOKEN, 0, token))
        while True:
            answer = await self._read()
            trusted = False
            if answer.command == b"AUTH" and answer.arg0 == _AUTH_SIGNATURE:
                trusted = keys.verifies(token, answer.data)
                if not trusted or self._phone.faults.never_authorize:
                    token = keys.new_token()
                    await self.send(Message(b"AUTH", _AUTH_TOKEN, 0, token))
            elif answer.command == b"AUTH" and answer.arg0 == _AUTH_PUBLIC_KEY:
                trusted = keys.offer(answer.data)  # a stranger waits for ever
            if trusted and not self._phone.faults.never_authorize:
                return

    async def _read(self) -> Message:
        faults = self._phone.faults
        if faults.read_delay_s:
            await asyncio.sleep(faults.read_delay_s)
        message = await read_message(self._reader, verify_checksum=self._checksums)
        self._received_bytes += HEADER_BYTES + len(message.data)
        await self._suffer(self._phone.faults)
        return message

    async def _suffer(self, faults: Faults) -> None:
        def reached(limit: int | None) -> bool:
            return limit is not None and self._received_bytes > limit

        if reached(faults.end_after_bytes):
            raise DropConnectionError
        if reached(faults.reset_after_bytes):
            connection = self._writer.get_extra_info("socket")
            # Lingering for no time turns the close into a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
            raise DropConnectionError
        if reached(faults.stall_after_bytes):
            await self._writer.wait_closed()  # until the link is cut
            raise DropConnectionError

    async def _dispatch(self, message: Message) -> None:
        if message.command == b"OPEN":
            await self._open(message)
            return
        stream = self._streams.get(message.arg1)
        if stream is None:
            if message.command == b"WRTE":
                await self.send(Message(b"CLSE", 0, message.arg0))
        elif message.command == b"OKAY":
            stream.acknowledged()
        elif message.command == b"WRTE":
            stream.received(message.data)
        elif message.command == b"CLSE":
            del self._streams[message.arg1]
            stream.end()
            await self.send(Message(b"CLSE", 0, message.arg0))

    async def _open(self, message: Message) -> None:
        name = message.data.rstrip(b"\0").decode(errors="surrogateescape")
        refused = self._phone.faults.refuse_service
        service = self._phone.service(name)
        if service is None or (refused is not None and name.startswith(refused)):
            await self.send(Message(b"CLSE", 0, message.arg0))
            return
        self._last_id += 1
        stream = Stream(self, self._last_id, message.arg0)
        self._streams[self._last_id] = stream
        await self.send(Message(b"OKAY", self._last_id, message.arg0))
        task = asyncio.create_task(self._serve_stream(stream, self._last_id, message.arg0, service))
        self._services.add(task)
        task.add_done_callback(self._services.discard)

    async def _serve_stream(
        self, stream: Stream, local_id: int, remote_id: int, service: Service
    ) -> None:
        try:
            await service(stream)
            if self._streams.pop(local_id, None) is not None:
                await self.send(Message(b"CLSE", local_id, remote_id))
        except StreamClosedError:
            pass  # the host does not want to hear the end
        except DropConnectionError:
            self.drop()
