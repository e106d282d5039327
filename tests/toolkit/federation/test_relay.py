"""The relay carries everything, and counts exactly what it carries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from toolkit.federation.relay import MeteringRelay
from toolkit.protocol.fleet import Traffic

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo_upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each chunk twice, in capitals, until the other side has said all."""
    while data := await reader.read(10_000):
        writer.write(data.upper() * 2)
        await writer.drain()
    writer.close()


def _through_relay(talk: Callable[[MeteringRelay, int], Awaitable[None]]) -> None:
    async def run() -> None:
        server = await asyncio.start_server(_echo_upper, "127.0.0.1", 0)
        relay = MeteringRelay(server.sockets[0].getsockname()[1])
        port = await relay.start("127.0.0.1", 0)
        try:
            await asyncio.wait_for(talk(relay, port), 20)
        finally:
            await relay.close()
            server.close()

    asyncio.run(run())


async def _exchange(port: int, content: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(content)
        await writer.drain()
        writer.write_eof()

    _, answer = await asyncio.gather(send(), reader.read())
    writer.close()
    return answer


def test_what_it_counts_is_what_was_carried() -> None:
    sizes = [0, 1, 70_000, 1_000_003]

    async def talk(relay: MeteringRelay, port: int) -> None:
        contents = [random.Random(size).randbytes(size).lower() for size in sizes]
        answers = await asyncio.gather(*(_exchange(port, content) for content in contents))
        for content, answer in zip(contents, answers, strict=True):
            assert len(answer) == 2 * len(content)
            assert sorted(answer[:100]) == sorted((content[:10_000].upper() * 2)[:100])
        assert relay.traffic() == Traffic(down=2 * sum(sizes), up=sum(sizes))

    _through_relay(talk)


def test_it_knows_who_is_behind_a_connection() -> None:
    seen: list[int] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[1])
        writer.write(b"x")
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(note, "127.0.0.1", 0)
        relay = MeteringRelay(server.sockets[0].getsockname()[1])
        port = await relay.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        own = writer.get_extra_info("sockname")[1]
        assert await reader.readexactly(1) == b"x"
        assert relay.peer(seen[0]) == f"127.0.0.1:{own}"
        writer.close()
        await relay.close()
        server.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_server_that_is_gone_ends_the_connection() -> None:
    async def run() -> None:
        server = await asyncio.start_server(_echo_upper, "127.0.0.1", 0)
        relay = MeteringRelay(server.sockets[0].getsockname()[1])
        port = await relay.start("127.0.0.1", 0)
        server.close()
        await server.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        assert relay.traffic() == Traffic(0, 0)
        writer.close()
        await relay.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_closing_ends_open_connections() -> None:
    async def talk(relay: MeteringRelay, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        assert await reader.readexactly(10) == b"HELLOHELLO"
        await relay.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()

    _through_relay(talk)
