"""The fleet behind a Grid: what hosts do wrong becomes failures, and rounds go on."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from fake_grid import FakeGrid, FakeHost, identify
from tiny_client import TinyClient, TinyServer, slopes

from toolkit.errors import TrainingError
from toolkit.federation.envelope import (
    Done,
    Opened,
    Opening,
    Parcel,
    Response,
    decode_response,
    encode_response,
)
from toolkit.federation.flower_fleet import FlowerFleet, FlowerTimes
from toolkit.protocol.codec import encode_outcome
from toolkit.protocol.fleet import Client
from toolkit.protocol.order import Answer, Failure, Order, Reply

# Nothing here waits for the clock but for a few polls; hosts have no patience.
TIMES = FlowerTimes(
    patience_s=0.5, deadline_s=None, silence_s=0.0, poll_s=0.01, refresh_s=0.0, reopen_s=0.0
)


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    identify(monkeypatch)


def phones(first: int, count: int) -> Callable[[], list[Client]]:
    return lambda: [TinyClient(number) for number in range(first, first + count)]


class Scene:
    """Hosts `a` (phones 0 and 1) and `b` (phone 2), a fleet that they joined, and a server."""

    def __init__(self, times: FlowerTimes = TIMES, *, settings: str = "{}") -> None:
        self.a, self.b = FakeHost("a", phones(0, 2)), FakeHost("b", phones(2, 1))
        self.grid = FakeGrid(self.a, self.b)
        self.server = TinyServer()
        self.times = times
        self.fleet = FlowerFleet(self.grid, settings=settings, book=self.server.book, times=times)

    def join(self, count: int = 3) -> list[str]:
        return list(self.fleet.await_members(count, 20))

    def orders(self, names: list[str]) -> dict[str, Order]:
        return {name: self.server.order(position) for position, name in enumerate(names)}

    def collect(self, count: int) -> dict[str, Answer | Failure]:
        replies: list[Reply] = []
        while len(replies) < count:
            came = self.fleet.receive(20)
            assert came, f"{count - len(replies)} replies are missing"
            replies += came
        assert len(replies) == count
        return {reply.client: reply.outcome for reply in replies}


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    for host in scene.grid.hosts.values():
        host.desk.__exit__(None, None, None)


def answers(outcomes: Mapping[str, Answer | Failure]) -> dict[str, Answer]:
    return {name: each for name, each in outcomes.items() if isinstance(each, Answer)}


def reasons(outcomes: Mapping[str, Answer | Failure]) -> dict[str, str]:
    return {name: each.reason for name, each in outcomes.items() if isinstance(each, Failure)}


def test_clients_are_known_by_their_host(scene: Scene) -> None:
    scene.join()
    assert scene.fleet.members() == {"a/phone-0": 10, "a/phone-1": 11, "b/phone-2": 12}
    assert scene.fleet.traffic() is None


def test_hosts_get_the_settings_once() -> None:
    scene = Scene(settings=json.dumps({"template": "{text}\nTopic:"}))
    names = scene.join()
    scene.fleet.send(scene.orders(names))
    scene.collect(3)
    assert scene.a.settings == ['{"template": "{text}\\nTopic:"}']


def test_every_phone_answers_its_own_order_over_rounds(scene: Scene) -> None:
    names = scene.join()
    for rounds in range(4):
        # Each replica lacks the last round's update, and nothing else.
        since = max(0, rounds - 1)
        orders = {
            name: scene.server.order(position, since=since) for position, name in enumerate(names)
        }
        values = scene.server.state.values
        scene.fleet.send(orders)
        outcomes = answers(scene.collect(3))
        for name, order in orders.items():
            assert order.probes is not None
            expected = slopes(values, int(name[-1]), order.probes)
            np.testing.assert_array_equal(outcomes[name].slopes, expected)
        scene.server.commit([orders[name] for name in names], [outcomes[name] for name in names])
    assert np.abs(scene.server.state.values).min() > 0


def test_one_message_serves_all_phones_of_a_host(scene: Scene) -> None:
    names = scene.join()
    before = scene.a.requests
    scene.fleet.send(scene.orders(names))
    scene.collect(3)
    assert scene.a.requests == before + 1


def test_a_stale_replica_is_told_apart(scene: Scene) -> None:
    [name] = scene.join()[:1]
    orders = scene.orders([name])
    scene.fleet.send(orders)
    scene.server.commit(list(orders.values()), list(answers(scene.collect(1)).values()))
    scene.fleet.send({name: scene.server.order(0)})  # lacks the update
    [outcome] = scene.collect(1).values()
    assert isinstance(outcome, Failure)
    assert outcome.stale_replica
    scene.fleet.send({name: scene.server.snapshot_order(0)})
    assert answers(scene.collect(1))


def test_an_unknown_client_is_a_failure(scene: Scene) -> None:
    scene.join()
    scene.fleet.send(scene.orders(["a/phone-9"]))
    assert reasons(scene.collect(1)) == {"a/phone-9": "no connected host has this client"}


def test_nothing_under_way_is_an_empty_list_at_once(scene: Scene) -> None:
    scene.join()
    assert scene.fleet.receive(None) == []


def test_too_few_members_say_so(scene: Scene) -> None:
    with pytest.raises(TrainingError, match="3 of 4 clients joined"):
        scene.fleet.await_members(4, 0.2)


def test_named_members_are_waited_for(scene: Scene) -> None:
    scene.b.online = False
    with pytest.raises(TrainingError, match="b/phone-2 did not join within"):
        scene.fleet.await_members({"a/phone-0", "b/phone-2"}, 0.2)
    scene.b.online = True
    members = scene.fleet.await_members({"b/phone-2"}, 20)
    assert members["b/phone-2"] == 12


def with_times(**changes: float) -> Scene:
    return Scene(dataclasses.replace(TIMES, **changes))


def test_a_silent_hosts_orders_fail_at_the_deadline_for_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = with_times(deadline_s=0.3, silence_s=60.0)
    names = scene.join()
    scene.b.silent = True
    scene.fleet.send(scene.orders(names))
    outcomes = scene.collect(3)
    assert set(answers(outcomes)) == {"a/phone-0", "a/phone-1"}
    assert reasons(outcomes) == {"b/phone-2": "no answer within 0.3 s"}
    scene.b.silent = False
    # What it answers now is refused; it is there for the next round.
    scene.fleet.send(scene.orders(["a/phone-0"]))
    assert set(answers(scene.collect(1))) == {"a/phone-0"}
    assert "refused an outcome of b/phone-2: it has no such order" in caplog.text
    scene.fleet.send({"b/phone-2": scene.server.snapshot_order(0)})
    assert set(answers(scene.collect(1))) == {"b/phone-2"}


@pytest.mark.parametrize("response", [Opened((("phone-2", 12),)), Opening()])
def test_a_host_that_opens_clients_instead_of_working_loses_its_orders(
    scene: Scene, response: Response
) -> None:
    names = scene.join()
    scene.b.mangle = lambda content: encode_response(response)
    scene.fleet.send(scene.orders(names))
    outcomes = scene.collect(3)
    assert set(answers(outcomes)) == {"a/phone-0", "a/phone-1"}
    assert "answered another request" in reasons(outcomes)["b/phone-2"]
    assert scene.fleet.receive(None) == []


def test_a_host_that_is_at_it_for_ever_loses_its_orders_at_the_deadline() -> None:
    scene = with_times(deadline_s=0.5)
    names = scene.join()

    def stall(content: bytes) -> bytes:
        response = decode_response(content)
        if not isinstance(response, Done):
            return content
        at_work = tuple(dataclasses.replace(each, content=b"") for each in response.outcomes)
        return encode_response(Done((), at_work or (Parcel("phone-2", 1, 0, b""),)))

    scene.b.mangle = stall
    scene.fleet.send(scene.orders(names))
    assert reasons(scene.collect(3)) == {"b/phone-2": "no answer within 0.5 s"}
    requests = scene.b.requests
    assert scene.fleet.receive(0.1) == []
    assert scene.b.requests <= requests + 1  # nobody asks for it any more


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 40, b"\x03\x01"])
def test_a_malformed_response_fails_the_hosts_orders(
    scene: Scene, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    names = scene.join()
    scene.b.mangle = lambda content: garbage
    scene.fleet.send(scene.orders(names))
    outcomes = scene.collect(3)
    assert set(answers(outcomes)) == {"a/phone-0", "a/phone-1"}
    assert "malformed" in reasons(outcomes)["b/phone-2"]
    assert "malformed" in caplog.text
    scene.b.mangle = lambda content: content
    scene.join()
    scene.fleet.send({"b/phone-2": scene.server.snapshot_order(0)})
    assert answers(scene.collect(1))


def with_outcomes(
    change: Callable[[tuple[Parcel, ...]], tuple[Parcel, ...]],
) -> Callable[[bytes], bytes]:
    def mangle(content: bytes) -> bytes:
        response = decode_response(content)
        if not isinstance(response, Done):
            return content
        return encode_response(Done(change(response.outcomes), response.under_way))

    return mangle


def replaced(content: bytes) -> Callable[[bytes], bytes]:
    """The content of phone-0's outcome, and nobody else's."""
    return with_outcomes(
        lambda outcomes: tuple(
            Parcel("phone-0", each.round_number, each.increment, content)
            if each.client == "phone-0"
            else each
            for each in outcomes
        )
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "too early"),
        (b"FW\x01\x01" + b"\0" * 20, "too early"),
        (b"FW\x09\x01" + b"\0" * 20, "version 9"),
        (encode_outcome(Failure(9, 0, "of another round")), "another order"),
    ],
)
def test_a_malformed_answer_fails_its_phone_alone(
    scene: Scene, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = scene.join()
    scene.a.mangle = replaced(content)
    scene.fleet.send(scene.orders(names))
    outcomes = scene.collect(3)
    assert set(answers(outcomes)) == {"a/phone-1", "b/phone-2"}
    assert reason in reasons(outcomes)["a/phone-0"]
    assert "refused an outcome of a/phone-0" in caplog.text


def test_answers_for_others_and_answers_twice_are_refused(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    names = scene.join()

    def meddle(outcomes: tuple[Parcel, ...]) -> tuple[Parcel, ...]:
        foreign = [
            Parcel(name, each.round_number, each.increment, each.content)
            for each in outcomes
            for name in ("phone-2", "../b/phone-2", "")
        ]
        invented = [
            Parcel(each.client, 77, 0, encode_outcome(Failure(77, 0, "never asked")))
            for each in outcomes
        ]
        return (*foreign, *invented, *outcomes, *outcomes)

    scene.a.mangle = with_outcomes(meddle)
    scene.fleet.send(scene.orders(names))
    assert set(answers(scene.collect(3))) == set(names)
    assert scene.fleet.receive(0.05) == []
    assert "it is no client of node 1" in caplog.text
    assert "it has no such order" in caplog.text


def test_two_hosts_cannot_have_the_same_client(caplog: pytest.LogCaptureFixture) -> None:
    hosts = [FakeHost("", phones(0, 1)), FakeHost("", phones(0, 2))]
    fleet = FlowerFleet(FakeGrid(*hosts), settings="", book=TinyServer().book, times=TIMES)
    assert set(fleet.await_members(2, 20)) == {"phone-0", "phone-1"}
    assert "another has it" in caplog.text


def test_a_host_that_leaves_fails_its_orders_and_may_come_back(scene: Scene) -> None:
    names = scene.join()
    scene.b.silent = True
    scene.fleet.send(scene.orders(names))
    scene.b.online = False
    outcomes = scene.collect(3)
    assert "no longer connected" in reasons(outcomes)["b/phone-2"]
    assert set(scene.fleet.members()) == {"a/phone-0", "a/phone-1"}
    scene.b.restart()
    scene.b.silent, scene.b.online = False, True
    scene.join()
    scene.fleet.send({"b/phone-2": scene.server.snapshot_order(0)})
    assert answers(scene.collect(1))


def test_a_host_that_was_started_again_opens_its_phones_again(scene: Scene) -> None:
    names = scene.join()
    scene.b.restart()
    scene.fleet.send(scene.orders(names))
    outcomes = scene.collect(3)
    assert "started again" in reasons(outcomes)["b/phone-2"]
    scene.join()
    assert len(scene.b.settings) == 2
    scene.fleet.send({"b/phone-2": scene.server.snapshot_order(0)})
    assert answers(scene.collect(1))


def test_a_host_that_fails_is_asked_again(scene: Scene) -> None:
    names = scene.join()
    scene.b.error = "Node Unavailable"
    scene.fleet.send(scene.orders(names))
    assert reasons(scene.collect(3)) == {"b/phone-2": "its host failed: Node Unavailable"}
    scene.b.error = ""
    assert len(scene.join()) == 3


def test_a_host_without_phones_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[Client]:
        raise TrainingError("this host's bundle is not the server's")

    host = FakeHost("a", broken)
    fleet = FlowerFleet(FakeGrid(host), settings="", book=TinyServer().book, times=TIMES)
    with pytest.raises(TrainingError, match="0 of 1"):
        fleet.await_members(1, 0.2)
    assert "this host's bundle is not the server's" in caplog.text


def test_a_silent_host_is_asked_again_and_no_answer_is_lost(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    names = scene.join()
    scene.b.silent = True
    scene.fleet.send(scene.orders(names))
    assert set(answers(scene.collect(2))) == {"a/phone-0", "a/phone-1"}
    while "host b is silent" not in caplog.text:
        assert scene.fleet.receive(0.2) == []
    scene.b.silent = False
    assert set(answers(scene.collect(1))) == {"b/phone-2"}


def test_the_superlink_may_be_away_for_a_while(scene: Scene) -> None:
    names = scene.join()
    scene.grid.down = True
    scene.fleet.send(scene.orders(names))
    assert scene.fleet.receive(0.05) == []
    scene.grid.down = False
    assert set(answers(scene.collect(3))) == set(names)


def test_a_superlink_that_stays_away_ends_the_run() -> None:
    scene = with_times(outage_s=0.2)
    names = scene.join()
    scene.grid.down = True
    scene.fleet.send(scene.orders(names))
    with pytest.raises(TrainingError, match="has not answered for") as raised:
        scene.fleet.receive(None)
    assert "start the SuperLink again" in raised.value.remedy
    # Also while nothing is under way, and there are no hosts yet.
    empty = FlowerFleet(scene.grid, settings="", book=scene.server.book, times=scene.times)
    with pytest.raises(TrainingError, match="has not answered for"):
        empty.await_members(1, 20)


def test_outages_do_not_add_up() -> None:
    scene = with_times(outage_s=0.5)
    names = scene.join()
    for _ in range(4):
        scene.grid.down = True
        scene.fleet.send(scene.orders(names))
        assert scene.fleet.receive(0.2) == []
        scene.grid.down = False
        assert set(answers(scene.collect(3))) == set(names)


def test_a_run_that_the_superlink_ended_ends_at_once(scene: Scene) -> None:
    names = scene.join()
    scene.grid.ended = True
    with pytest.raises(TrainingError, match="has ended this training run"):
        scene.fleet.send(scene.orders(names))


class GatedClient(TinyClient):
    """Answers when it may."""

    def __init__(self, number: int, gate: threading.Event) -> None:
        super().__init__(number)
        self._gate = gate

    def answer(self, order: Order) -> Answer:
        assert self._gate.wait(20)
        return super().answer(order)


def test_a_slow_phone_does_not_hold_up_its_neighbours_for_good() -> None:
    gate = threading.Event()
    host = FakeHost("a", lambda: [GatedClient(0, gate), TinyClient(1)])
    server = TinyServer()
    times = FlowerTimes(**{**vars(TIMES), "patience_s": 0.05, "silence_s": 20.0})
    fleet = FlowerFleet(FakeGrid(host), settings="", book=server.book, times=times)
    fleet.await_members(2, 20)
    fleet.send({name: server.order(0) for name in ("a/phone-0", "a/phone-1")})
    assert [reply.client for reply in fleet.receive(20)] == ["a/phone-1"]
    # The quick one gets its next order meanwhile, and the slow one a second order to come.
    orders = [server.order(0)]
    second = Order(**{**vars(orders[0]), "increment": 1})
    fleet.send({"a/phone-1": second, "a/phone-0": second})
    assert [reply.client for reply in fleet.receive(20)] == ["a/phone-1"]
    gate.set()
    replies = []
    while len(replies) < 2:
        replies += fleet.receive(20)
    assert {reply.client for reply in replies} == {"a/phone-0"}
    assert [reply.outcome.increment for reply in replies] == [0, 1]
    assert all(isinstance(reply.outcome, Answer) for reply in replies)
    assert fleet.receive(20) == []


def test_nothing_is_logged_where_nothing_goes_wrong(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    scene.fleet.send(scene.orders(scene.join()))
    scene.collect(3)
    assert not caplog.records
