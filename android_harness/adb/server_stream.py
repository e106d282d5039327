"""A socket to the adb server, which passes it on to one service of a device."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress

from android_harness.adb.link import Deadline
from android_harness.adb.socket_meter import SocketMeter

MAX_PAYLOAD_BYTES = 1 << 20
_RECEIVE_BYTES = 1 << 18
# What may wait in socket buffers and in the server for a device that takes so much a second, over
# a poor network; the first reply after it comes that much later.
_BUFFERED_BYTES = 8 << 20
_SLOW_BYTES_PER_S = 128 * 1024


class ServerStream:
    """A `DeviceStream`. Time-outs raise `TimeoutError`, a lost server another `OSError`.

    The server acknowledges nothing: what was written may still be on its way to the device. What
    the device says while it is written to is read at once, since a refusal in the middle of a push
    comes so, and since a server that cannot get rid of it would take no more.

    Args:
        connected: the socket; owned from here on.
        reply_s: seconds to wait for bytes to come, or to be taken.
        meter: counts what goes through.
    """

    def __init__(self, connected: socket.socket, *, reply_s: float, meter: SocketMeter) -> None:
        self._socket = connected
        self._reply_s = reply_s
        self._meter = meter
        self._unread = bytearray()
        self._unanswered_bytes = 0
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(connected, selectors.EVENT_READ | selectors.EVENT_WRITE)

    @property
    def max_payload_bytes(self) -> int:
        return MAX_PAYLOAD_BYTES

    @property
    def received(self) -> bytes:
        return bytes(self._unread)

    def write(self, data: bytes, *, until: Callable[[bytes], bool] | None = None) -> None:
        rest = memoryview(data)
        while rest:
            ready = self._selector.select(self._reply_s)
            if not ready:
                raise TimeoutError(f"nothing was taken for {self._reply_s:g} s")
            if ready[0][1] & selectors.EVENT_READ:
                self._receive(self._reply_s)
                if self._ended:
                    raise ConnectionAbortedError("the stream was closed")
                if until is not None and until(self.received):
                    return
            if ready[0][1] & selectors.EVENT_WRITE:
                rest = rest[self._send(rest) :]

    def read(self, size: int, *, by: Deadline | None = None) -> bytes:
        while len(self._unread) < size:
            if self._ended:
                raise EOFError("the stream was closed")
            self._receive(self._patience_s if by is None else by.transport_timeout_s)
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def interrupt(self) -> None:
        """Ends the stream, also under a thread that waits for it."""
        with suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._selector.close()
        self._socket.close()

    @property
    def _patience_s(self) -> float:
        buffered = min(self._unanswered_bytes, _BUFFERED_BYTES)
        return self._reply_s + buffered / _SLOW_BYTES_PER_S

    def _send(self, data: memoryview) -> int:
        try:
            self._socket.settimeout(self._reply_s)  # without one it would wait to send it all
            taken = self._socket.send(data)
        except OSError:
            with suppress(OSError):  # the last that the device said comes before the end
                while not self._ended:
                    self._receive(0.0)
            raise
        self._meter.add_sent(taken)
        self._unanswered_bytes += taken
        return taken

    def _receive(self, timeout_s: float | None) -> None:
        # Zero would make the socket non-blocking; a deadline that has passed still gets a look.
        self._socket.settimeout(None if timeout_s is None else max(timeout_s, 0.001))
        data = self._socket.recv(_RECEIVE_BYTES)
        self._meter.add_received(len(data))
        self._unread += data
        self._unanswered_bytes = 0
        self._ended = not data
