"""Turns at what only one thread may use, in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A lock that is fair: whoever lets it go and asks again comes after those who wait.

    With `threading.Lock` a loop of long commands would keep all others out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def take(self, timeout_s: float | None) -> bool:
        """Waits for the turn, at most so long; whether it came."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(timeout_s):
            return True
        with self._lock:
            if mine.is_set():  # it came in this moment
                return True
            self._waiting.remove(mine)
            return False

    def pass_on(self) -> None:
        """Ends the turn."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
