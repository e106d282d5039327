"""The host's end of the conversation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tiny_client import RUN_SEED, TinyClient, TinyServer

from toolkit.clients.threads import ThreadFleet
from toolkit.errors import TrainingError
from toolkit.federation.envelope import (
    Done,
    NotOpened,
    Open,
    Opened,
    Opening,
    Parcel,
    Request,
    Response,
    Work,
    decode_response,
    encode_request,
)
from toolkit.federation.host_desk import HostDesk
from toolkit.protocol.binary import MalformedMessageError
from toolkit.protocol.codec import decode_outcome, encode_order
from toolkit.protocol.order import Answer, Failure


class Host:
    """A desk whose clients' coming and going is noted."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.ready = threading.Event()
        self.ready.set()
        self.error: Exception | None = None
        self.desk = HostDesk(self._open)
        self.server = TinyServer()

    @contextmanager
    def _open(self, settings: str) -> Iterator[ThreadFleet]:
        assert self.ready.wait(20)
        if self.error is not None:
            raise self.error
        self.events.append(f"open {settings}")
        with ThreadFleet([TinyClient(0), TinyClient(1)]) as fleet:
            yield fleet
        self.events.append(f"close {settings}")

    def ask(self, request: Request) -> Response:
        return decode_response(self.desk.respond(encode_request(request)))

    def open(self, session: int = 1, settings: str = "s", patience_s: float = 20.0) -> Response:
        return self.ask(Open(session, settings, RUN_SEED, patience_s))

    def work(self, *orders: Parcel, session: int = 1) -> Done:
        response = self.ask(Work(session, 20.0, orders))
        assert isinstance(response, Done)
        return response

    def parcel(self, client: str) -> Parcel:
        return Parcel(client, 1, 0, encode_order(self.server.order(0), self.server.book))


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    with host.desk:
        yield host


def test_clients_stay_open_between_messages_and_are_closed_at_the_end() -> None:
    host = Host()
    with host.desk:
        assert host.open() == Opened((("phone-0", 10), ("phone-1", 11)))
        for _ in range(2):
            done = host.work(host.parcel("phone-0"), host.parcel("phone-1"))
            assert {outcome.client for outcome in done.outcomes} == {"phone-0", "phone-1"}
            assert done.under_way == ()
            assert all(isinstance(decode_outcome(each.content), Answer) for each in done.outcomes)
        assert host.open() == Opened((("phone-0", 10), ("phone-1", 11)))
        assert host.events == ["open s"]
    assert host.events == ["open s", "close s"]


def test_another_session_closes_the_clients_of_the_first(host: Host) -> None:
    host.open()
    host.open(session=2, settings="t")
    assert host.events == ["open s", "close s", "open t"]
    response = host.ask(Work(1, 0.0, ()))
    assert isinstance(response, NotOpened)
    assert host.work(host.parcel("phone-0"), session=2).outcomes


def test_opening_that_takes_long_is_waited_for_in_several_messages(host: Host) -> None:
    host.ready.clear()
    assert host.open(patience_s=0.01) == Opening()
    assert isinstance(host.ask(Work(1, 0.0, ())), NotOpened)
    assert host.open(patience_s=0.01) == Opening()
    host.ready.set()
    assert isinstance(host.open(), Opened)
    assert host.events == ["open s"]


def test_opening_that_failed_says_why_and_is_tried_again(host: Host) -> None:
    host.error = TrainingError("the phone is away")
    assert host.open() == NotOpened("the phone is away")
    host.error = None
    assert isinstance(host.open(), Opened)


def test_a_message_without_a_session_is_answered(host: Host) -> None:
    assert isinstance(host.ask(Work(1, 0.0, (host.parcel("phone-0"),))), NotOpened)


@pytest.mark.parametrize(
    ("client", "content", "reason"),
    [
        ("phone-0", b"", "too early"),
        ("phone-0", b"FW\x01\x01", "it is an answer, not an order"),
        ("phone-9", None, "no client 'phone-9'"),
    ],
)
def test_an_order_that_makes_no_sense_is_a_failure_of_its_client_alone(
    host: Host, client: str, content: bytes | None, reason: str
) -> None:
    host.open()
    bad = Parcel(client, 3, 2, host.parcel(client).content if content is None else content)
    done = host.work(bad, host.parcel("phone-1"))
    outcomes = {each.client: decode_outcome(each.content) for each in done.outcomes}
    failure = outcomes[client]
    assert isinstance(failure, Failure)
    assert (failure.round_number, failure.increment) == (3, 2)
    assert reason in failure.reason
    assert isinstance(outcomes["phone-1"], Answer)


def test_the_second_of_two_orders_for_a_client_is_refused(host: Host) -> None:
    host.open()
    done = host.work(host.parcel("phone-0"), host.parcel("phone-0"))
    kinds = [type(decode_outcome(each.content)) for each in done.outcomes]
    assert sorted(kinds, key=str) == [Answer, Failure]


def test_foreign_bytes_are_refused(host: Host) -> None:
    with pytest.raises(MalformedMessageError):
        host.desk.respond(b"hello")
