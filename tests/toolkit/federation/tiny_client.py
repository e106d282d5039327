"""A client small enough to be followed by hand: 12 parameters, a quadratic loss."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporters.lora.combination import Combination, named_direction
from exporters.lora.directions import draw_seeds
from exporters.lora.support import EVERYTHING, Matrix
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.fleet import StaleReplicaError
from toolkit.protocol.order import Answer, CatchUp, Order, Probes, Snapshot
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import ReplicaState, RoundUpdate

RUN_SEED = 11


@dataclass(frozen=True)
class _Tensor:
    layer: int
    matrix: Matrix
    slice: slice


class TinyLayout:
    parameters = 12
    tensors = (_Tensor(0, "A", slice(0, 8)), _Tensor(0, "B", slice(8, 12)))


LAYOUT = TinyLayout()
INITIAL = np.zeros(LAYOUT.parameters, dtype=np.float32)


class TinyClient:
    """Slopes of ½‖θ − n‖² for client n; its replica is real, and checked."""

    def __init__(self, number: int, *, delay_s: float = 0.0) -> None:
        self.name = f"phone-{number}"
        self.examples = 10 + number
        self._number = number
        self._delay_s = delay_s
        self._version = 0
        self._state = ReplicaState(INITIAL)

    def answer(self, order: Order) -> Answer:
        if isinstance(order.sync, Snapshot):
            state = order.sync.state
        elif order.sync.since == self._version:
            state = self._state
            for update in order.sync.updates:
                state = state.after(update, LAYOUT)
        else:
            raise StaleReplicaError(f"it holds version {self._version}", device=self.name)
        if values_sha256(state.values) != order.values_sha256:
            raise StaleReplicaError("its values are not the server's", device=self.name)
        self._version, self._state = order.version, state
        time.sleep(self._delay_s)
        assert order.probes is not None
        return Answer(
            round_number=order.round_number,
            increment=order.increment,
            values_sha256=order.values_sha256,
            slopes=slopes(state.values, self._number, order.probes),
            loss=float(os.getpid()),
            along_slope=None,
            head_gradient=None,
            seconds=self._delay_s,
            values_from="updates",
        )

    @property
    def replica(self) -> tuple[int, ReplicaState]:
        return self._version, self._state

    def resume(self, version: int, state: ReplicaState) -> None:
        self._version, self._state = version, state


def slopes(values: np.ndarray[Any, Any], number: int, probes: Probes) -> np.ndarray[Any, Any]:
    gradient = values - np.float32(number)
    return np.array(
        [gradient @ named_direction(name, LAYOUT) for name in probes.directions], dtype=np.float32
    )


class TinyServer:
    """Draws directions and applies updates, as the training loop does."""

    def __init__(self) -> None:
        self.book = SeedBook(RUN_SEED)
        self.history: list[RoundUpdate] = []
        self.state = ReplicaState(INITIAL)

    def order(self, position: int, *, probes: int = 4, since: int | None = None) -> Order:
        """For the client at this position among those that are asked, of the next round."""
        version = len(self.history)
        stop = (position + 1) * probes
        self.book.note(version + 1, stop)
        since = version if since is None else since
        return Order(
            round_number=version + 1,
            increment=0,
            version=version,
            sync=CatchUp(since, tuple(self.history[since:])),
            values_sha256=values_sha256(self.state.values),
            batch=(0, 1),
            estimator="central",
            epsilon=0.01,
            probes=Probes(
                tuple(draw_seeds(RUN_SEED, version + 1, stop)[stop - probes :]),
                "rademacher",
                EVERYTHING,
                1,
            ),
        )

    def snapshot_order(self, position: int) -> Order:
        order = self.order(position)
        return Order(**{**vars(order), "sync": Snapshot(self.state)})

    def commit(self, orders: list[Order], answers: list[Answer]) -> None:
        """One step down the mean of slope · direction."""
        pairs = [
            (name, -0.05 * float(slope) / len(answers))
            for order, answer in zip(orders, answers, strict=True)
            if order.probes is not None
            for name, slope in zip(order.probes.directions, answer.slopes, strict=True)
        ]
        rounded = tuple((name, float(np.float32(value))) for name, value in pairs)
        self.history.append(RoundUpdate((Combination(pairs=rounded),)))
        self.state = self.state.after(self.history[-1], LAYOUT)
