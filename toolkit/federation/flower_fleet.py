"""A fleet behind Flower's Grid: hosts with clients, or simulated clients.

Nothing a host does or fails to do ends a round: it becomes a Failure of the orders concerned.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import httpx
from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.run import RunNotRunningException

from toolkit.errors import TrainingError
from toolkit.federation.envelope import (
    Done,
    NotOpened,
    Open,
    Opened,
    Opening,
    Parcel,
    Response,
    Work,
    decode_response,
    encode_request,
)
from toolkit.federation.flower_message import content_of, request_message
from toolkit.protocol.binary import MalformedMessageError
from toolkit.protocol.codec import decode_outcome, encode_order
from toolkit.protocol.fleet import Traffic
from toolkit.protocol.order import Answer, Failure, Order, Reply
from toolkit.protocol.seed_book import SeedBook

_log = logging.getLogger(__name__)

# (client, round, increment): what an order is known by.
_Key = tuple[str, int, int]


@dataclass(frozen=True)
class FlowerTimes:
    """How long things may take, in seconds.

    Args:
        patience_s: how long a host collects outcomes before it reports those that it has.
        deadline_s: after how long an order without an outcome becomes a Failure, whatever its
            host says; an outcome that comes later is refused. None: only a lost host is given up.
        silence_s: how long a host may be silent beyond its patience before it is asked again.
        poll_s: between looks for replies.
        refresh_s: between looks for hosts that came or went.
        reopen_s: before a host that failed is asked to open its clients again.
        outage_s: after how long without an answer the SuperLink itself is given up.
    """

    patience_s: float = 15.0
    deadline_s: float | None = None
    silence_s: float = 30.0
    poll_s: float = 0.2
    refresh_s: float = 2.0
    reopen_s: float = 30.0
    outage_s: float = 60.0


@dataclass
class _Sent:
    """A message to a host that it has not answered."""

    message_id: str
    at: float


@dataclass(frozen=True)
class _Asked:
    """Whom a message asked: to open its clients, or else to work."""

    node: int
    to_open: bool


@dataclass
class _Host:
    """One Flower node. `held`: orders that travelled to it and have no outcome yet."""

    node: int
    label: str
    online: bool = True
    opened: bool = False
    open_after: float = 0.0
    clients: dict[str, int] = field(default_factory=dict)
    sent: _Sent | None = None
    waiting: dict[_Key, bytes] = field(default_factory=dict)
    held: dict[_Key, None] = field(default_factory=dict)

    def local(self, client: str) -> str:
        """A client's name at the host itself."""
        return client.removeprefix(f"{self.label}/") if self.label else client


class FlowerFleet:
    """Orders through a Grid; for one thread.

    Clients are known as `host/client` where the host has a name in the SuperLink, and by their
    own name otherwise.

    Args:
        settings: what every host needs to make its clients, handed to its `OpenFleet`.
        book: the run's seeds; the caller notes those that it draws.
        traffic: bytes that the sockets have carried so far.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        settings: str,
        book: SeedBook,
        times: FlowerTimes | None = None,
        traffic: Callable[[], Traffic | None] = lambda: None,
    ) -> None:
        self._grid = grid
        self._settings = settings
        self._book = book
        self._times = times or FlowerTimes()
        self._traffic = traffic
        self._session = secrets.randbits(64)
        self._hosts: dict[int, _Host] = {}
        self._owners: dict[str, _Host] = {}  # of clients
        self._asked: dict[str, _Asked] = {}  # by message id
        self._deadlines: dict[_Key, float] = {}
        self._replies: list[Reply] = []
        self._refreshed = -float("inf")
        self._away_since: float | None = None  # the SuperLink; None: it answers

    def members(self) -> Mapping[str, int]:
        """The clients of the hosts that are connected and have opened them."""
        self._advance()
        return {
            client: examples
            for host in self._hosts.values()
            if host.online and host.opened
            for client, examples in host.clients.items()
        }

    def await_members(
        self,
        wanted: int | AbstractSet[str],
        timeout_s: float,
        *,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Mapping[str, int]:
        """The members, once there are as many as wanted, or once all that are named are there.

        Args:
            stopped: whether there is no use in waiting any longer.

        Raises:
            TrainingError: some are missing after `timeout_s`, or the SuperLink is gone.
        """
        until = time.monotonic() + timeout_s
        while problem := _missing(wanted, members := self.members()):
            if stopped() or time.monotonic() >= until:
                raise TrainingError(
                    f"{problem} within {timeout_s:.0f} s",
                    remedy="start the other hosts, or look at their logs for why they stay away",
                )
            time.sleep(self._times.poll_s)
        return members

    def send(self, orders: Mapping[str, Order]) -> None:
        now = time.monotonic()
        for client, order in orders.items():
            key = client, order.round_number, order.increment
            host = self._owners.get(client)
            if host is None or not host.opened:
                self._fail([key], "no connected host has this client")
                continue
            host.waiting[key] = encode_order(order, self._book)
            limit = self._times.deadline_s
            self._deadlines[key] = float("inf") if limit is None else now + limit
        self._advance()

    def receive(self, timeout_s: float | None) -> list[Reply]:
        until = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._advance()
            if self._replies or not self._deadlines or time.monotonic() >= until:
                replies, self._replies = self._replies, []
                return replies
            time.sleep(min(self._times.poll_s, max(0.0, until - time.monotonic())))

    def traffic(self) -> Traffic | None:
        return self._traffic()

    def _advance(self) -> None:
        """Takes what has come, gives up what is overdue, sends what waits.

        Raises:
            TrainingError: the SuperLink has been away for too long, or has ended the run.
        """
        now = time.monotonic()
        try:
            self._refresh_hosts()
            self._take_replies()
            self._expire()
            self._send_waiting()
        except RunNotRunningException as error:
            raise TrainingError(
                "the SuperLink has ended this training run", remedy=_START_AGAIN
            ) from error
        except httpx.HTTPError as error:
            # It may be back soon; orders under way are not lost.
            _log.warning("the SuperLink does not answer: %s: %s", type(error).__name__, error)
            if self._away_since is None:
                self._away_since = now
            away_s = time.monotonic() - self._away_since
            if away_s >= self._times.outage_s:
                raise TrainingError(
                    f"the SuperLink has not answered for {away_s:.0f} s", remedy=_START_AGAIN
                ) from error
            self._expire()
        else:
            self._away_since = None

    def _refresh_hosts(self) -> None:
        now = time.monotonic()
        if self._away_since is None and now - self._refreshed < self._times.refresh_s:
            return
        online = {
            info.node_id: info.name for info in self._grid.get_nodes() if info.status == "online"
        }
        self._refreshed = now
        for node, label in online.items():
            if node not in self._hosts:
                self._hosts[node] = _Host(node, label)
                _log.info("host %s connected", label or node)
            elif not self._hosts[node].online:
                self._hosts[node].online, self._hosts[node].open_after = True, 0.0
                _log.info("host %s is back", label or node)
        for host in self._hosts.values():
            if host.node not in online and host.online:
                host.online, host.sent = False, None
                self._lose(host, "its host is no longer connected to the SuperLink")

    def _take_replies(self) -> None:
        if not self._asked:
            return
        for message in self._grid.pull_messages(list(self._asked)):
            message_id = message.metadata.reply_to_message_id
            asked = self._asked.pop(message_id, None)
            if asked is None:
                continue
            host = self._hosts[asked.node]
            current = host.sent is not None and host.sent.message_id == message_id
            if current:
                host.sent = None
            self._take(host, message, asked, current=current)

    def _take(self, host: _Host, message: Message, asked: _Asked, *, current: bool) -> None:
        """Takes a host's reply; only the reply to its latest message says how the host is."""
        if message.has_error():
            problem = f"its host failed: {message.error.reason}"
        else:
            try:
                response = decode_response(content_of(message))
            except MalformedMessageError as error:
                problem = f"its host sent a malformed message: {error.message}"
            else:
                if isinstance(response, _FITTING[asked.to_open]):
                    self._take_response(host, response, current=current)
                    return
                problem = f"its host answered another request: {type(response).__name__}"
        if current:
            host.open_after = time.monotonic() + self._times.reopen_s
            self._lose(host, problem)

    def _take_response(self, host: _Host, response: Response, *, current: bool) -> None:
        if isinstance(response, Done):
            for parcel in response.outcomes:
                self._take_outcome(host, parcel)
            if current:
                self._compare(host, response)
        elif isinstance(response, Opened):
            self._take_clients(host, response)
        elif isinstance(response, NotOpened) and current:
            # A host that had its clients open was started again: no reason to wait.
            host.open_after = 0.0 if host.opened else time.monotonic() + self._times.reopen_s
            self._lose(host, f"its host has no clients open: {response.reason}")

    def _take_clients(self, host: _Host, response: Opened) -> None:
        host.clients = {}
        for name, examples in response.clients:
            client = f"{host.label}/{name}" if host.label else name
            if self._owners.setdefault(client, host) is not host:
                _log.warning("refused client %s of node %d: another has it", client, host.node)
                continue
            host.clients[client] = examples
        host.opened = True

    def _take_outcome(self, host: _Host, parcel: Parcel) -> None:
        client = f"{host.label}/{parcel.client}" if host.label else parcel.client
        key = client, parcel.round_number, parcel.increment
        if client not in host.clients:
            _log.warning("refused an outcome of %s: it is no client of node %d", client, host.node)
            return
        outcome: Answer | Failure
        try:
            outcome = decode_outcome(parcel.content)
            if (outcome.round_number, outcome.increment) != key[1:]:
                raise MalformedMessageError("it is the outcome of another order")
        except MalformedMessageError as error:
            reason = f"its answer is malformed: {error.message}"
            _log.warning("refused an outcome of %s: %s", client, reason)
            outcome = Failure(parcel.round_number, parcel.increment, reason)
        if key not in host.held:
            _log.warning("refused an outcome of %s: it has no such order", client)
            return
        del host.held[key]
        del self._deadlines[key]
        self._replies.append(Reply(client, outcome))

    def _compare(self, host: _Host, response: Done) -> None:
        """What the host neither answered nor works on is lost."""
        at_work = {
            (parcel.client, parcel.round_number, parcel.increment) for parcel in response.under_way
        }
        lost = [key for key in host.held if (host.local(key[0]), *key[1:]) not in at_work]
        for key in lost:
            del host.held[key]
        self._fail(lost, "its host lost the order")

    def _expire(self) -> None:
        now = time.monotonic()
        overdue = [key for key, deadline in self._deadlines.items() if deadline <= now]
        for key in overdue:
            # Nobody shall start on what nobody waits for, or be asked for it.
            host = self._owners[key[0]]
            host.waiting.pop(key, None)
            host.held.pop(key, None)
        self._fail(overdue, f"no answer within {self._times.deadline_s} s")

    def _lose(self, host: _Host, reason: str) -> None:
        """Gives up all orders of a host, and opens it again when it is back."""
        _log.warning("host %s: %s", host.label or host.node, reason)
        keys = [*host.held, *host.waiting]
        host.held.clear()
        host.waiting.clear()
        host.opened = False
        self._fail(keys, reason)

    def _fail(self, keys: Iterable[_Key], reason: str) -> None:
        for key in keys:
            client, round_number, increment = key
            self._deadlines.pop(key, None)
            _log.warning("%s, round %d: %s", client, round_number, reason)
            self._replies.append(Reply(client, Failure(round_number, increment, reason)))

    def _send_waiting(self) -> None:
        now = time.monotonic()
        requests: list[tuple[_Host, bytes, dict[_Key, bytes]]] = []
        for host in self._hosts.values():
            if not self._may_be_asked(host, now):
                continue
            if not host.opened:
                if now >= host.open_after:
                    patience = self._times.patience_s
                    opening = Open(self._session, self._settings, self._book.run_seed, patience)
                    requests.append((host, encode_request(opening), {}))
            elif host.waiting or host.held:
                orders = _one_per_client(host.waiting)
                requests.append((host, encode_request(self._work(host, orders)), orders))
        if not requests:
            return
        messages = [
            request_message(content, host.node, ttl_s=_TTL_S) for host, content, _ in requests
        ]
        ids = list(self._grid.push_messages(messages))
        for (host, _, orders), message_id in zip(requests, ids, strict=False):
            if message_id:
                host.sent = _Sent(message_id, now)
                self._asked[message_id] = _Asked(host.node, to_open=not host.opened)
                for key in orders:
                    del host.waiting[key]
                    host.held[key] = None

    def _may_be_asked(self, host: _Host, now: float) -> bool:
        """Whether the host is there and owes no reply, or has owed it for too long."""
        if not host.online or host.sent is None:
            return host.online
        if now - host.sent.at < self._times.patience_s + self._times.silence_s:
            return False
        _log.warning("host %s is silent; it is asked again", host.label or host.node)
        return True

    def _work(self, host: _Host, orders: Mapping[_Key, bytes]) -> Work:
        parcels = tuple(
            Parcel(host.local(client), round_number, increment, content)
            for (client, round_number, increment), content in orders.items()
        )
        return Work(self._session, self._times.patience_s, parcels)


def _missing(wanted: int | AbstractSet[str], members: Mapping[str, int]) -> str:
    """What to say of the members that are missing; empty where none is."""
    if isinstance(wanted, int):
        return "" if len(members) >= wanted else f"{len(members)} of {wanted} clients joined"
    absent = sorted(wanted - members.keys())
    return f"{', '.join(absent)} did not join" if absent else ""


def _one_per_client(waiting: Mapping[_Key, bytes]) -> dict[_Key, bytes]:
    first: dict[str, _Key] = {}
    for key in waiting:
        first.setdefault(key[0], key)
    return {key: waiting[key] for key in first.values()}


# What may come back from a host that was asked to open its clients, or to work.
_FITTING = {True: (Opened, Opening, NotOpened), False: (Done, NotOpened)}
# Its ports are new when it is started again: this process cannot find it.
_START_AGAIN = "start the SuperLink again, then the same train command: it continues"
# Messages outlive every patience; a message that nobody fetched for so long is worth nothing.
_TTL_S = 3600.0
