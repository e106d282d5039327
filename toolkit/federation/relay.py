"""A TCP relay that counts what it carries; TLS passes through it end to end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from toolkit.protocol.fleet import Traffic

_CHUNK = 1 << 16


class MeteringRelay:
    """Forwards connections to a port of this machine.

    Bytes are counted when they have been read from the socket that faces the network (up) or
    written to it (down): TLS records and HTTP headers are in it, TCP and IP headers are not.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._down = 0
        self._up = 0
        self._peers: dict[int, str] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listens; port 0 picks a free one.

        Returns:
            The port.

        Raises:
            OSError: the address is taken or not of this machine.
        """
        self._server = await asyncio.start_server(self._accept, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Ends all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def traffic(self) -> Traffic:
        return Traffic(down=self._down, up=self._up)

    def peer(self, port: int) -> str:
        """Who is behind the connection that reaches the target from this port."""
        return self._peers.get(port, f"port {port} of this machine")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError):
                await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # by `close`
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        own_port = inner_writer.get_extra_info("sockname")[1]
        host, port = writer.get_extra_info("peername")[:2]
        self._peers[own_port] = f"{host}:{port}"
        try:
            await asyncio.gather(
                _pump(reader, inner_writer, self._count_up, before=True),
                _pump(inner_reader, writer, self._count_down, before=False),
            )
        finally:
            del self._peers[own_port]
            inner_writer.close()

    def _count_up(self, count: int) -> None:
        self._up += count

    def _count_down(self, count: int) -> None:
        self._down += count


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    count: Callable[[int], None],
    *,
    before: bool,
) -> None:
    """Carries one direction to its end, and says so to the other side."""
    while data := await reader.read(_CHUNK):
        if before:
            count(len(data))
        writer.write(data)
        await writer.drain()
        if not before:
            count(len(data))
    with contextlib.suppress(OSError):
        writer.write_eof()
