"""Orders out, answers in: who holds which version, what is under way, and when to stop waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from android_harness.job import Estimator
from toolkit.protocol.codec import encode_order, encode_outcome
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.fleet import Fleet
from toolkit.protocol.order import Along, Answer, CatchUp, Failure, Order, Probes, Reply, Snapshot
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import ReplicaState, RoundUpdate
from toolkit.protocol.wire import snapshot_bytes, updates_bytes
from toolkit.robust.admission import AdmissionRules, Admitted, Doorkeeper, Refusal
from toolkit.training.contract import Lost

_Key = tuple[str, int, int]  # client, round, increment


@dataclass(frozen=True)
class Ask:
    """What a client shall do, before it is known what its replica lacks."""

    batch: tuple[int, ...]
    probes: Probes | None = None
    along: Along | None = None
    exact_head: bool = False

    @property
    def slopes(self) -> int:
        """How many are asked for."""
        return (len(self.probes.directions) if self.probes else 0) + (self.along is not None)


@dataclass(frozen=True)
class Answered:
    """An admitted answer, with the bytes of its order and of itself as encoded."""

    admitted: Admitted
    bytes_down: int
    bytes_up: int

    @property
    def client(self) -> str:
        return self.admitted.client

    @property
    def order(self) -> Order:
        return self.admitted.order

    @property
    def answer(self) -> Answer:
        return self.admitted.answer


@dataclass(frozen=True)
class Gathered:
    """What came of the asks of one increment."""

    answers: tuple[Answered, ...]  # in the order of the asks
    lost: tuple[Lost, ...]


class Exchange:
    """The server's book about its clients' replicas and orders.

    Args:
        history: the update of every round so far; the caller appends to it.
        book: the run's seeds; the caller notes those that it draws.
        fresh: whether the run begins here, so that every client holds version 0. The replicas of
            a run that goes on are unknown: their first order carries a snapshot.
        deadline_s: how long an order's answer is waited for; None: as long as it takes.
        staleness: for how many rounds after its own an answer is still of use.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        history: Sequence[RoundUpdate],
        book: SeedBook,
        fresh: bool,
        estimator: Estimator,
        epsilon: float,
        admission: AdmissionRules,
        deadline_s: float | None,
        staleness: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._history = history
        self._book = book
        self._estimator = estimator
        self._epsilon = epsilon
        self._doorkeeper = Doorkeeper(admission)
        self._deadline_s = deadline_s
        self._staleness = staleness
        self._clock = clock
        self._held: dict[str, int] = dict.fromkeys(fleet.members(), 0) if fresh else {}
        self._under_way: dict[_Key, int] = {}  # bytes sent
        self._late: list[Answered] = []
        self.bytes_down = 0  # of all orders, as encoded
        self.bytes_up = 0  # of all answers and failures; a refused message is not counted

    def await_free_clients(self, round_number: int) -> set[str]:
        """The clients that can be asked; waits for one, a minute at most: a host may be back."""
        until = self._clock() + _RETURN_S
        while not (free := self._free_clients(round_number)) and self._clock() < until:
            self._take(self._fleet.receive(_POLL_S), _Increment(round_number, 0, waiting={}))
            time.sleep(_POLL_S)
        return free

    def _free_clients(self, round_number: int) -> set[str]:
        """Those that are there, and not busy with an earlier order."""
        oldest = round_number - self._staleness
        self._doorkeeper.close_before(oldest)
        self._under_way = {key: sent for key, sent in self._under_way.items() if key[1] >= oldest}
        self._late = [one for one in self._late if one.order.round_number >= oldest]
        return set(self._fleet.members()) - {client for client, _, _ in self._under_way}

    def take_late(self) -> list[Answered]:
        """Answers to orders of earlier increments and rounds that came since the last call."""
        late, self._late = sorted(self._late, key=_age), []
        return late

    def gather(
        self,
        round_number: int,
        increment: int,
        asks: Mapping[str, Ask],
        state: ReplicaState,
        enough: Callable[[Collection[str]], bool],
    ) -> Gathered:
        """Sends the asks and waits for their answers until the deadline.

        `state` is that of version `round_number` - 1. A client whose replica turns out not to be
        the server's is sent a snapshot once.

        Args:
            enough: whether these clients' answers will do, without those of the others.
        """
        sha256 = values_sha256(state.values)

        def order(client: str, sync: CatchUp | Snapshot) -> Order:
            ask = asks[client]
            return Order(
                round_number=round_number,
                increment=increment,
                version=round_number - 1,
                sync=sync,
                values_sha256=sha256,
                batch=ask.batch,
                estimator=self._estimator,
                epsilon=self._epsilon,
                probes=ask.probes,
                along=ask.along,
                exact_head=ask.exact_head,
            )

        self._send({client: order(client, self._sync(client, state)) for client in asks})
        deadline = None if self._deadline_s is None else self._clock() + self._deadline_s
        current = _Increment(round_number, increment, waiting=dict.fromkeys(asks))
        missed = _LATE
        while current.waiting:
            if enough(current.answers.keys()):
                missed = _SPARE
                break
            left = None if deadline is None else max(0.0, deadline - self._clock())
            replies = self._fleet.receive(left)
            if not replies:
                break
            for client in self._take(replies, current):
                self._send({client: order(client, Snapshot(state))})
        current.lost += [
            _lost((client, round_number, increment), missed) for client in current.waiting
        ]
        return Gathered(
            answers=tuple(current.answers[client] for client in asks if client in current.answers),
            lost=tuple(current.lost),
        )

    def _take(self, replies: Sequence[Reply], current: _Increment) -> list[str]:
        """Books replies; the clients that shall be sent a snapshot, and asked again."""
        judged = self._doorkeeper.judge(replies)
        for admitted in judged.admitted:
            self._take_answer(admitted, current)
        for refusal in judged.refusals:
            self._take_refusal(refusal, current)
        return [reply.client for reply in judged.failures if self._take_failure(reply, current)]

    def _take_answer(self, admitted: Admitted, current: _Increment) -> None:
        order = admitted.order
        key = admitted.client, order.round_number, order.increment
        self._held[admitted.client] = order.version
        size = len(encode_outcome(admitted.answer))
        self.bytes_up += size
        answered = Answered(admitted, self._under_way.pop(key, 0), size)
        if current.holds(key):
            current.answers[admitted.client] = answered
            current.waiting.pop(admitted.client, None)
        else:
            self._late.append(answered)

    def _take_failure(self, reply: Reply, current: _Increment) -> bool:
        """Whether the client shall be sent a snapshot, and asked again."""
        failure = reply.outcome
        assert isinstance(failure, Failure)
        key = reply.client, failure.round_number, failure.increment
        self.bytes_up += len(encode_outcome(failure))
        if failure.stale_replica:
            self._held.pop(reply.client, None)
            if current.holds(key) and reply.client not in current.mended:
                current.mended.add(reply.client)
                return True
        self._lose(key, failure.reason, current)
        return False

    def _take_refusal(self, refusal: Refusal, current: _Increment) -> None:
        key = refusal.client, refusal.round_number, refusal.increment
        reason = f"refused ({refusal.reason}): {refusal.detail}"
        if refusal.reason == "wrong_hash":
            self._held.pop(refusal.client, None)
        if refusal.reason in ("unexpected", "duplicate"):
            # The order, if there is one, stays open: its own answer may still come.
            current.lost.append(_lost(key, reason))
        else:
            self._lose(key, reason, current)

    def _lose(self, key: _Key, reason: str, current: _Increment) -> None:
        self._under_way.pop(key, None)
        current.lost.append(_lost(key, reason))
        if current.holds(key):
            current.waiting.pop(key[0], None)

    def _send(self, orders: Mapping[str, Order]) -> None:
        self._doorkeeper.expect(orders)
        for client, order in orders.items():
            key = (client, order.round_number, order.increment)
            size = len(encode_order(order, self._book))
            self._under_way[key] = self._under_way.get(key, 0) + size
            self.bytes_down += size
        self._fleet.send(orders)

    def _sync(self, client: str, state: ReplicaState) -> CatchUp | Snapshot:
        """The updates that the client lacks or the whole state, whichever is smaller."""
        held = self._held.get(client)
        if held is None:
            return Snapshot(state)
        missing = tuple(self._history[held:])
        vectors = 1 if state.memory is None else 2
        if updates_bytes(missing) > snapshot_bytes(vectors * len(state.values)):
            return Snapshot(state)
        return CatchUp(held, missing)


_LATE = "no answer before the deadline"
_SPARE = "not waited for: the others' probes were enough"
_RETURN_S = 60.0
_POLL_S = 0.2


@dataclass
class _Increment:
    """What has come in of the asks of an increment so far; `waiting` for the others, in order."""

    round_number: int
    increment: int
    waiting: dict[str, None]
    mended: set[str] = field(default_factory=set)
    answers: dict[str, Answered] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)

    def holds(self, key: _Key) -> bool:
        """Whether the order is one of this increment's."""
        return key[1:] == (self.round_number, self.increment)


def _lost(key: _Key, reason: str) -> Lost:
    return Lost(client=key[0], asked_in=key[1], increment=key[2], reason=reason)


def _age(answered: Answered) -> tuple[int, int, str]:
    order = answered.order
    return order.round_number, order.increment, answered.client
