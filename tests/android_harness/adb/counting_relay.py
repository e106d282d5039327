"""A TCP relay that counts, to hold other counts against."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self


class CountingRelay:
    """Passes connections to a port of this machine on; a context manager.

    Attributes:
        port: where it listens, on loopback.
        from_client, to_client: the bytes it read from its clients, and gave to them, so far.
        hold_at: it gives its clients so many bytes in all, and the rest only after `release`.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self.from_client = 0
        self.to_client = 0
        self.connections = 0
        self.hold_at: int | None = None
        self._released = threading.Event()

    def release(self) -> None:
        """Passes on what was held back."""
        self._released.set()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._server_port))
            with self._lock:
                self._ends += [client, server]
                self.connections += 1
            self._start(self._pass_on, client, server, "from_client")
            self._start(self._pass_on, server, client, "to_client")

    def _pass_on(self, source: socket.socket, sink: socket.socket, counter: str) -> None:
        try:
            while data := source.recv(1 << 16):
                if counter == "to_client" and self.hold_at is not None:
                    at_once = max(0, self.hold_at - self.to_client)
                    sink.sendall(data[:at_once])
                    if at_once < len(data):
                        self._released.wait()
                    sink.sendall(data[at_once:])
                    continue
                with self._lock:
                    setattr(self, counter, getattr(self, counter) + len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return  # either end was cut

    @staticmethod
    def _start(work: object, *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]
