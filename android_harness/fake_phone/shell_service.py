"""The services `shell:`, `exec:` and `shell,v2`: commands that really run, on this host."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass

from android_harness.fake_phone.connection import DropConnectionError, Stream, StreamClosedError
from android_harness.fake_phone.device_root import DeviceRoot
from android_harness.fake_phone.faults import Faults
from android_harness.fake_phone.processes import Slowdown
from android_harness.fake_phone.traffic import Traffic

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class ShellRequest:
    """A command line, and whether its streams and exit code travel in packets."""

    command: str
    packets: bool


def parse_shell_service(name: str) -> ShellRequest | None:
    """`shell:CMD`, `exec:CMD` and `shell,v2[,TERM=...][,raw|,pty]:CMD`; None for other services.

    A terminal is served as plain pipes.
    """
    options, colon, command = name.partition(":")
    kind, *flags = options.split(",")
    if not colon or kind not in ("shell", "exec"):
        return None
    return ShellRequest(command, packets="v2" in flags)


async def serve_shell(
    stream: Stream,
    request: ShellRequest,
    root: DeviceRoot,
    slowdown: Slowdown,
    faults: Faults,
    traffic: Traffic,
) -> None:
    """Runs the command; when the host leaves early, it goes on without it, as on a phone."""
    arguments = ["-c", request.command] if request.command else []
    process = await asyncio.create_subprocess_exec(
        "sh",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if request.packets else asyncio.subprocess.STDOUT,
        env=root.environment(),
        cwd=root.path,
        start_new_session=True,
    )
    slowdown.add(process.pid)
    feeding = asyncio.create_task(_feed(stream, process, request, faults, traffic))
    try:
        outputs = [_forward(stream, process.stdout, _STDOUT, packets=request.packets)]
        if process.stderr is not None:
            outputs.append(_forward(stream, process.stderr, _STDERR, packets=True))
        await asyncio.gather(*outputs)
        code = await process.wait()
    finally:
        feeding.cancel()
        slowdown.discard(process.pid)
    if faults.vanish_at_exit:
        raise DropConnectionError
    if request.packets and not faults.omit_exit_packet:
        code = code if code >= 0 else 128 - code
        await stream.write(_HEADER.pack(_EXIT, 1) + bytes([code]))


async def _forward(
    stream: Stream, pipe: asyncio.StreamReader | None, kind: int, *, packets: bool
) -> None:
    """Sends output until its end; drops it once the host is gone."""
    assert pipe is not None
    while data := await pipe.read(_CHUNK_BYTES):
        with suppress(StreamClosedError):
            await stream.write((_HEADER.pack(kind, len(data)) if packets else b"") + data)


async def _feed(
    stream: Stream,
    process: asyncio.subprocess.Process,
    request: ShellRequest,
    faults: Faults,
    traffic: Traffic,
) -> None:
    """Passes the host's input on until it closes it or leaves."""
    assert process.stdin is not None
    with suppress(StreamClosedError, ConnectionError):
        if not request.packets:
            while True:
                process.stdin.write(await stream.read())
                await process.stdin.drain()
        received = 0
        while True:
            kind, length = _HEADER.unpack(await stream.read_exactly(_HEADER.size))
            data = await stream.read_exactly(length)
            if kind == _CLOSE_STDIN:
                break
            if kind != _STDIN:
                continue
            traffic.add_pushed(len(data))
            received += len(data)
            limit = faults.fail_push_after_bytes
            if limit is not None and received > limit:
                said = faults.fail_message.encode()
                await stream.write(_HEADER.pack(_STDERR, len(said)) + said)
                process.kill()
                break
            if faults.corrupt_push and data:
                data = data[:-1] + bytes([data[-1] ^ 1])
            process.stdin.write(data)
            await process.stdin.drain()
    process.stdin.close()
