"""The fleet of simulated clients: order of replies, drop-outs, late replies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.errors import FwdllmError
from toolkit.protocol.fleet import Fleet, StaleReplicaError
from toolkit.protocol.order import Answer, CatchUp, Failure, Order
from toolkit.simulation.fleet import SimulatedFleet, Unreliability

ORDER = Order(
    round_number=1,
    increment=0,
    version=0,
    sync=CatchUp(0, ()),
    values_sha256="0",
    batch=(0,),
    estimator="tangent",
    epsilon=1.0,
)


class Echo:
    """Answers with the seconds of its name's number; counts what it was asked."""

    def __init__(self, number: int, error: Exception | None = None) -> None:
        self.name = f"phone-{number}"
        self.examples = number
        self.asked: list[Order] = []
        self._error = error

    def answer(self, order: Order) -> Answer:
        self.asked.append(order)
        if self._error is not None:
            raise self._error
        return Answer(
            round_number=order.round_number,
            increment=order.increment,
            values_sha256="0",
            slopes=np.empty(0, dtype=np.float32),
            loss=1.0,
            along_slope=None,
            head_gradient=None,
            seconds=float(self.examples),
            values_from="held",
        )


def to_all(clients: list[Echo], **changes: int) -> dict[str, Order]:
    return {client.name: dataclasses.replace(ORDER, **changes) for client in clients}


def test_the_quickest_reply_first() -> None:
    clients = [Echo(3), Echo(1), Echo(2)]
    fleet: Fleet = SimulatedFleet(clients)
    assert fleet.members() == {"phone-3": 3, "phone-1": 1, "phone-2": 2}
    assert fleet.receive(None) == []
    fleet.send(to_all(clients))
    assert [reply.client for reply in fleet.receive(None)] == ["phone-1", "phone-2", "phone-3"]
    assert fleet.receive(None) == []
    assert fleet.traffic() is None


@pytest.mark.parametrize(
    ("error", "stale"),
    [
        (StaleReplicaError("old", device="phone-2"), True),
        (FwdllmError("no"), False),
        (ZeroDivisionError("a bug"), False),
    ],
)
def test_an_error_is_a_reply(error: Exception, stale: bool) -> None:
    clients = [Echo(1), Echo(2, error)]
    fleet = SimulatedFleet(clients)
    fleet.send(to_all(clients, round_number=4, increment=2))
    failed, answered = fleet.receive(1.0)
    assert isinstance(answered.outcome, Answer)
    assert isinstance(failed.outcome, Failure)
    assert (failed.client, failed.outcome.stale_replica) == ("phone-2", stale)
    assert (failed.outcome.round_number, failed.outcome.increment) == (4, 2)


@settings(deadline=None, max_examples=30)
@given(
    drop=st.sampled_from([0.0, 0.3, 1.0]),
    late=st.sampled_from([0.0, 0.4, 1.0]),
    delay=st.integers(1, 3),
    seed=st.integers(0, 50),
)
def test_every_order_is_answered_once_or_dropped(
    drop: float, late: float, delay: int, seed: int
) -> None:
    clients = [Echo(number) for number in range(1, 9)]
    chances = Unreliability(drop_rate=drop, late_rate=late, late_rounds=delay, seed=seed)
    fleet = SimulatedFleet(clients, chances)
    arrived: dict[tuple[str, int], int] = {}
    for round_number in range(1, 9):
        fleet.send(to_all(clients, round_number=round_number))
        for reply in fleet.receive(None):
            key = (reply.client, reply.outcome.round_number)
            assert key not in arrived
            arrived[key] = round_number
    assert all(len(client.asked) == 8 for client in clients)
    delays = {when - of_round for (_, of_round), when in arrived.items()}
    assert delays <= {0, delay}
    if drop == 1:
        assert not arrived
    if drop == 0 and late in (0, 1):
        assert delays == {late * delay}
        assert len(arrived) == 8 * (8 - late * delay)


def test_mishaps_are_those_of_the_seed_alone() -> None:
    """Neither the other clients nor what was asked before has a part in them."""
    chances = Unreliability(drop_rate=0.4, late_rate=0.4, seed=5)
    clients = [Echo(number) for number in range(1, 41)]

    def answered(fleet: SimulatedFleet, asked: list[Echo], round_number: int) -> set[str]:
        fleet.send(to_all(asked, round_number=round_number))
        replies = fleet.receive(None)
        return {r.client for r in replies if r.outcome.round_number == round_number}

    one = SimulatedFleet(clients, chances)
    answered(one, clients, 1)
    of_all = answered(one, clients, 2)
    of_some = answered(SimulatedFleet(clients, chances), clients[:20], 2)
    assert of_some == of_all & {client.name for client in clients[:20]}
    assert 5 <= len(of_all) <= 25  # 40 · 0.6 · 0.6 expected
    other = Unreliability(drop_rate=0.4, late_rate=0.4, seed=6)
    assert answered(SimulatedFleet(clients, other), clients, 2) != of_all
