"""The fleet of one process: a thread for every client."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from toolkit.clients.outcome import outcome_of
from toolkit.protocol.fleet import Client, Traffic
from toolkit.protocol.order import Order, Reply


class ThreadFleet:
    """Asks the clients of this process, each in its own thread; use it as a context manager."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = {client.name: client for client in clients}
        self._threads = {name: ThreadPoolExecutor(max_workers=1) for name in self._clients}
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._under_way = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)

    def members(self) -> Mapping[str, int]:
        return {name: client.examples for name, client in self._clients.items()}

    def send(self, orders: Mapping[str, Order]) -> None:
        for name, order in orders.items():
            self._under_way += 1
            self._threads[name].submit(self._answer, self._clients[name], order)

    def receive(self, timeout_s: float | None) -> list[Reply]:
        replies: list[Reply] = []
        while self._under_way > 0:
            try:
                # Only the first is waited for; the others that have come are taken along.
                replies.append(
                    self._replies.get_nowait() if replies else self._replies.get(timeout=timeout_s)
                )
            except queue.Empty:
                break
            self._under_way -= 1
        return replies

    def traffic(self) -> Traffic | None:
        return None

    def _answer(self, client: Client, order: Order) -> None:
        self._replies.put(Reply(client.name, outcome_of(client, order)))
