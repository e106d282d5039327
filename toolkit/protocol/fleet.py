"""Clients, and the fleets that carry orders to them.

A client is one phone, or a simulated one. A fleet is how the server reaches its clients: threads
of this process, Flower's simulation engine, or Flower's SuperLink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from android_harness.errors import DeviceError
from toolkit.protocol.order import Answer, Order, Reply


class StaleReplicaError(DeviceError):
    """A client's replica is not, and does not become by the updates sent, what the server says."""

    default_remedy = "send it a snapshot"


class Client(Protocol):
    """One phone with its own examples and its own replica of the state."""

    @property
    def name(self) -> str: ...

    @property
    def examples(self) -> int:
        """How many examples it can draw batches from."""
        ...

    def answer(self, order: Order) -> Answer:
        """Brings the replica to the order's version and measures.

        Raises:
            StaleReplicaError: the replica cannot be brought there; send a snapshot.
            FwdllmError: anything else that kept it from answering.
        """
        ...


@dataclass(frozen=True)
class Traffic:
    """Bytes that sockets carried since the fleet was opened, both counted at the server's side."""

    down: int
    up: int


class Fleet(Protocol):
    """How orders reach clients and replies come back."""

    def members(self) -> Mapping[str, int]:
        """The clients that can be asked now, with the examples of each."""
        ...

    def send(self, orders: Mapping[str, Order]) -> None:
        """Sends at most one order to each client, without waiting.

        A client that still works on an earlier order is given this one afterwards.
        """
        ...

    def receive(self, timeout_s: float | None) -> list[Reply]:
        """The replies that have come in since; waits for the first, at most `timeout_s`.

        Empty when nothing came in time, or when nothing is under way.
        """
        ...

    def traffic(self) -> Traffic | None:
        """None where nothing travels over a socket."""
        ...
