"""How much a fake phone was sent."""

from __future__ import annotations

import threading


class Traffic:
    """Counts bytes of pushed file content and of what commands got as their input, overall."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pushed = 0

    def add_pushed(self, count: int) -> None:
        with self._lock:
            self._pushed += count

    @property
    def pushed_bytes(self) -> int:
        with self._lock:
            return self._pushed
