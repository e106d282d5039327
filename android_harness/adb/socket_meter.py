"""Counts what goes through sockets."""

from __future__ import annotations

import threading

from android_harness.target import SocketTraffic


class SocketMeter:
    """The bytes of any number of sockets, counted from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self._received = 0

    def add_sent(self, count: int) -> None:
        with self._lock:
            self._sent += count

    def add_received(self, count: int) -> None:
        with self._lock:
            self._received += count

    @property
    def traffic(self) -> SocketTraffic:
        with self._lock:
            return SocketTraffic(self._sent, self._received)
