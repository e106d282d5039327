"""adb-shell's TCP transport: whole writes, no Nagle delay, a noticed end of file, all counted."""

from __future__ import annotations

import socket
from contextlib import suppress

from adb_shell.transport.tcp_transport import TcpTransport

from android_harness.adb.socket_meter import SocketMeter

# A peer that lost power sends nothing: probe an idle link, and give it up after about 25 s.
_KEEPALIVE_IDLE_S = 10
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_PROBES = 3


class WholeTcpTransport(TcpTransport):
    """A TCP connection. Time-outs raise `TimeoutError`, a lost peer another `OSError`.

    Args:
        meter: counts every byte that the socket takes or hands over.
    """

    def __init__(self, host: str, port: int, meter: SocketMeter | None = None) -> None:
        super().__init__(host, port)
        self._meter = meter or SocketMeter()

    def connect(self, transport_timeout_s: float | None) -> None:
        connection = socket.create_connection((self._host, self._port), transport_timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
        self._connection = connection

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Between 1 and `numbytes` bytes.

        Raises:
            TimeoutError: nothing came within `transport_timeout_s` (None: wait for ever).
            ConnectionError: the device closed or reset the connection.
        """
        self._connection.settimeout(_socket_timeout(transport_timeout_s))
        data: bytes = self._connection.recv(numbytes)
        if not data:
            raise ConnectionResetError("the device closed the connection")
        self._meter.add_received(len(data))
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Sends all of `data`, however small the kernel's buffer, and returns its length.

        Raises:
            TimeoutError: the device took no byte for `transport_timeout_s`.
            ConnectionError: the device closed or reset the connection.
        """
        self._connection.settimeout(_socket_timeout(transport_timeout_s))
        rest = memoryview(data)
        while rest:
            taken = self._connection.send(rest)
            self._meter.add_sent(taken)
            rest = rest[taken:]
        return len(data)

    def interrupt(self) -> None:
        """Ends the connection, also under a thread that waits for it."""
        with suppress(OSError, AttributeError):  # it is closed already
            self._connection.shutdown(socket.SHUT_RDWR)

    def is_alive(self) -> bool:
        """Whether an idle connection still stands: nothing to read, and in particular no end."""
        try:
            self._connection.setblocking(False)
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except (OSError, AttributeError):  # AttributeError: adb-shell closed it and holds None
            return False
        return False


def _socket_timeout(timeout_s: float | None) -> float | None:
    # Zero would make the socket non-blocking; a deadline that has passed still gets a look.
    return None if timeout_s is None else max(timeout_s, 0.001)
