"""A socket to the adb server: what it does while the other end says, takes or ends something."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from android_harness.adb.link import AdbTimeouts, link_errors
from android_harness.adb.server_stream import ServerStream
from android_harness.adb.shell_v2 import run_with_input
from android_harness.adb.socket_meter import SocketMeter


@pytest.fixture
def ends() -> Iterator[tuple[ServerStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    stream = ServerStream(ours, reply_s=0.2, meter=SocketMeter())
    with theirs:
        yield stream, theirs
    stream.close()


def test_a_reply_is_read_while_nothing_more_is_taken(
    ends: tuple[ServerStream, socket.socket],
) -> None:
    stream, peer = ends
    peer.sendall(b"FAIL")

    stream.write(bytes(8 << 20), until=bool)  # far more than the socket holds

    assert stream.received == b"FAIL"
    assert stream.read(4) == b"FAIL"


def test_a_peer_that_takes_nothing_times_out(ends: tuple[ServerStream, socket.socket]) -> None:
    stream, _ = ends
    with pytest.raises(TimeoutError):
        stream.write(bytes(8 << 20))
    with pytest.raises(TimeoutError):
        stream.read(1)


def test_what_was_said_before_the_end_is_kept(ends: tuple[ServerStream, socket.socket]) -> None:
    stream, peer = ends
    peer.sendall(b"last words")
    peer.close()
    with pytest.raises(OSError):
        for _ in range(3):
            stream.write(bytes(1 << 20))
    assert stream.received == b"last words"
    assert stream.read(10) == b"last words"
    with pytest.raises(EOFError):
        stream.read(1)


def test_a_reply_to_much_that_was_written_is_waited_for_longer(
    ends: tuple[ServerStream, socket.socket],
) -> None:
    stream, peer = ends
    stream.write(bytes(128 << 10))

    def answer_late() -> None:
        time.sleep(0.4)  # twice what a reply may otherwise take
        peer.sendall(b"done")

    thread = threading.Thread(target=answer_late)
    thread.start()
    assert stream.read(4) == b"done"
    thread.join()
    with pytest.raises(TimeoutError):
        stream.read(1)


def test_a_command_that_ends_before_its_input_still_tells_why() -> None:
    class Early:
        """A stream whose peer said how it ended, and closed."""

        max_payload_bytes = 1 << 10
        received = b"exit"
        said = io.BytesIO(b"\x02\x04\x00\x00\x00full\x03\x01\x00\x00\x00\x01")

        def write(self, data: bytes, *, until: object = None) -> None:
            raise BrokenPipeError

        def read(self, size: int, *, by: object = None) -> bytes:
            return self.said.read(size)

        def close(self) -> None: ...

    class Connection:
        features = frozenset(["shell_v2"])
        device = "adb:X"
        timeouts = AdbTimeouts()

        def open_stream(self, service: str) -> Early:
            return Early()

        def errors(self, phase: str, *, command: str = "") -> AbstractContextManager[None]:
            return link_errors(self.device, phase, command=command)

    result = run_with_input(
        Connection(),  # type: ignore[arg-type]
        "cat",
        io.BytesIO(b"content"),
        progress=lambda sent: None,
    )
    assert (result.exit_code, result.stderr) == (1, b"full")
