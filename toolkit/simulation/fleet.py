"""A fleet of simulated clients that this process asks one after the other."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from exporters.contract import Part
from toolkit.clients.outcome import outcome_of
from toolkit.protocol.fleet import Client, Traffic
from toolkit.protocol.order import Answer, Order, Reply


class Unreliability(Part):
    """How often replies are lost or late, for tests of the server and studies of drop-outs.

    Which ones is drawn from the seed, the client, the round and the increment alone, so that a
    run that is resumed meets the same mishaps.

    Args:
        drop_rate: the share of orders whose reply never comes. The client still received the
            order and brought its replica up to date.
        late_rate: the share of the other orders whose reply comes only when an order of a round
            at least `late_rounds` later has been sent.
    """

    drop_rate: float = Field(default=0.0, ge=0, le=1)
    late_rate: float = Field(default=0.0, ge=0, le=1)
    late_rounds: PositiveInt = 1
    seed: NonNegativeInt = 0


@dataclass(frozen=True)
class _Late:
    due_round: int
    reply: Reply


class SimulatedFleet:
    """Asks its clients in the order of sending when replies are received.

    `receive` returns the replies to all orders sent so far, quickest first by the seconds that
    the answers give; where clients model their seconds that is the modelled order, and no time
    passes for a client's modelled slowness.
    """

    def __init__(
        self, clients: Sequence[Client], unreliability: Unreliability | None = None
    ) -> None:
        self._clients = {client.name: client for client in clients}
        self._unreliability = unreliability or Unreliability()
        self._sent: deque[tuple[str, Order]] = deque()
        self._late: list[_Late] = []
        self._round = 0

    def members(self) -> Mapping[str, int]:
        return {name: client.examples for name, client in self._clients.items()}

    def send(self, orders: Mapping[str, Order]) -> None:
        self._sent.extend(orders.items())
        self._round = max([self._round, *(order.round_number for order in orders.values())])

    def receive(self, timeout_s: float | None) -> list[Reply]:
        """All replies that are due; `timeout_s` is not needed, as nothing has to be waited for."""
        due = [late.reply for late in self._late if late.due_round <= self._round]
        self._late = [late for late in self._late if late.due_round > self._round]
        replies = []
        while self._sent:
            name, order = self._sent.popleft()
            reply = Reply(name, outcome_of(self._clients[name], order))
            dropped, late = self._mishap(name, order)
            if dropped:
                continue
            if late:
                due_round = order.round_number + self._unreliability.late_rounds
                self._late.append(_Late(due_round, reply))
            else:
                replies.append(reply)
        return due + sorted(replies, key=_seconds)

    def traffic(self) -> Traffic | None:
        return None

    def _mishap(self, name: str, order: Order) -> tuple[bool, bool]:
        chances = self._unreliability
        if chances.drop_rate == 0 and chances.late_rate == 0:
            return False, False
        key = f"{chances.seed} {order.round_number} {order.increment} {name}"
        digest = hashlib.sha256(key.encode()).digest()
        drawn = np.random.default_rng(int.from_bytes(digest)).random(2)
        dropped = bool(drawn[0] < chances.drop_rate)
        return dropped, not dropped and bool(drawn[1] < chances.late_rate)


def _seconds(reply: Reply) -> float:
    """Failures first: they take no time of a device that is worth modelling."""
    return reply.outcome.seconds if isinstance(reply.outcome, Answer) else 0.0
