"""Clients whose loss is a quadratic, so that every slope is known exactly; no model, no device."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from exporters.errors import FwdllmError
from exporters.lora.combination import named_direction
from toolkit.protocol.along import along_direction
from toolkit.protocol.codec import decode_order, decode_outcome, encode_order, encode_outcome
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.fleet import StaleReplicaError, Traffic
from toolkit.protocol.order import Answer, Failure, Order, Reply, Snapshot
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import ReplicaState
from toolkit.training.contract import Evaluation, FlatLayout, FlatTensor

HEAD = 4
LAYOUT = FlatLayout(
    tensors=(
        FlatTensor(layer=0, matrix="A", offset=0, size=8),
        FlatTensor(layer=0, matrix="B", offset=8, size=8),
        FlatTensor(layer=1, matrix="A", offset=16, size=8),
        FlatTensor(layer=1, matrix="B", offset=24, size=8),
        FlatTensor(layer=2, matrix="head", offset=32, size=HEAD),
    )
)
INITIAL = np.linspace(-1, 1, LAYOUT.parameters, dtype=np.float32)
TARGET = np.cos(np.arange(LAYOUT.parameters)).astype(np.float32)


def loss(values: np.ndarray) -> float:
    return float(0.5 * np.sum((values.astype(np.float64) - TARGET) ** 2))


class QuadraticClient:
    """Its loss is ½‖θ − TARGET‖² plus a slope that depends on the batch.

    `before` is called with every order and may raise; `change` alters its answers.
    """

    examples = 12

    def __init__(self, name: str, noise: float = 0.0) -> None:
        self.name = name
        self.noise = noise
        self.version = 0
        self.state = ReplicaState(INITIAL.copy())
        self.orders: list[Order] = []
        self.before: Callable[[Order], None] = lambda order: None
        self.change: Callable[[Answer], Answer] = lambda answer: answer

    def answer(self, order: Order) -> Answer:
        self.orders.append(order)
        self.before(order)
        came_by = self._catch_up(order)
        gradient = self.state.values.astype(np.float64) - TARGET
        gradient += self.noise * np.sin(np.arange(len(gradient)) * (1 + sum(order.batch)))
        probes = order.probes
        directions = (
            [
                named_direction(name, LAYOUT, probes.distribution, probes.support)
                for name in probes.directions
            ]
            if probes
            else []
        )
        along = None
        if order.along is not None:
            along = float(np.float32(gradient @ along_direction(order.along, self.state, LAYOUT)))
        return self.change(
            Answer(
                round_number=order.round_number,
                increment=order.increment,
                values_sha256=order.values_sha256,
                slopes=np.array([gradient @ one for one in directions], dtype=np.float32),
                loss=loss(self.state.values),
                along_slope=along,
                head_gradient=gradient[-HEAD:].astype(np.float32) if order.exact_head else None,
                seconds=0.0,
                values_from=came_by,
            )
        )

    def _catch_up(self, order: Order) -> str:
        if isinstance(order.sync, Snapshot):
            self.version, self.state = order.version, order.sync.state
            came_by = "snapshot"
        else:
            if not order.sync.since <= self.version <= order.version:
                raise StaleReplicaError("too old", device=self.name)
            missing = order.sync.updates[self.version - order.sync.since :]
            for update in missing:
                self.state = self.state.after(update, LAYOUT)
            self.version = order.version
            came_by = "updates" if missing else "held"
        if values_sha256(self.state.values) != order.values_sha256:
            raise StaleReplicaError("other values", device=self.name)
        return came_by


@dataclass
class QuadraticFleet:
    """Asks its clients one after the other, through the bytes of the wire.

    `silent` clients never answer; `late` ones answer to the next `receive` after the deadline.
    `extra` replies are delivered once beside the others.
    """

    clients: Sequence[QuadraticClient]
    silent: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    extra: list[Reply] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self._ready: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._held_back: list[Reply] = []

    def members(self) -> Mapping[str, int]:
        return {client.name: client.examples for client in self.clients}

    def send(self, orders: Mapping[str, Order]) -> None:
        for reply in self._held_back:
            self._ready.put(reply)
        self._held_back.clear()
        by_name = {client.name: client for client in self.clients}
        for name, order in orders.items():
            if name in self.silent:
                continue
            server, client = SeedBook(self.seed), SeedBook(self.seed)
            read = decode_order(encode_order(order, server), client)
            reply = Reply(name, decode_outcome(encode_outcome(_outcome(by_name[name], read))))
            if name in self.late:
                self._held_back.append(reply)
            else:
                self._ready.put(reply)
        while self.extra:
            self._ready.put(self.extra.pop())

    def receive(self, timeout_s: float | None) -> list[Reply]:
        replies = []
        while not self._ready.empty():
            replies.append(self._ready.get())
        return replies

    def traffic(self) -> Traffic | None:
        return None


class QuadraticEvaluator:
    """The loss itself; `accuracy` has no meaning here."""

    def evaluate(self, values: np.ndarray) -> Evaluation:
        return Evaluation(loss=loss(values), accuracy=None, positions=1, seconds=0.0)


def _outcome(client: QuadraticClient, order: Order) -> Answer | Failure:
    try:
        return client.answer(order)
    except FwdllmError as error:
        stale = isinstance(error, StaleReplicaError)
        return Failure(order.round_number, order.increment, str(error), stale_replica=stale)


def later(answer: Answer, **changes: object) -> Answer:
    """The answer with other fields."""
    return replace(answer, **changes)
