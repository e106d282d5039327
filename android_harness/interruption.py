"""Ctrl-C for work in other threads than the main one, where Python delivers it."""

from __future__ import annotations

import threading


class Interruption:
    """Asks threads to end what they do; each is told once, so that it can clean up after."""

    def __init__(self) -> None:
        self._asked: set[int] = set()

    def ask(self, thread: int) -> None:
        """The thread's next `check` raises."""
        self._asked.add(thread)

    def check(self) -> None:
        """Raises `KeyboardInterrupt` if the calling thread was asked to end and not told yet."""
        thread = threading.get_ident()
        if thread in self._asked:
            self._asked.discard(thread)
            raise KeyboardInterrupt
