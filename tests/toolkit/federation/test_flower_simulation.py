"""Flower's simulation engine with a few hundred clients, in Ray's processes."""

from __future__ import annotations

import numpy as np
from tiny_client import TinyClient, TinyServer, slopes

from toolkit.federation.simulation import simulated_flower_fleet
from toolkit.protocol.order import Answer

CLIENTS = 200


def test_hundreds_of_clients_keep_their_replicas_over_rounds() -> None:
    server = TinyServer()
    processes: set[float] = set()
    with simulated_flower_fleet(TinyClient, CLIENTS, book=server.book, cpus=2) as fleet:
        members = fleet.members()
        assert members == {f"phone-{number}": 10 + number for number in range(CLIENTS)}
        assert fleet.traffic() is None
        for rounds in range(3):
            orders = {
                f"phone-{number}": server.order(number, probes=2, since=max(0, rounds - 1))
                for number in range(CLIENTS)
            }
            fleet.send(orders)
            outcomes = {}
            while len(outcomes) < CLIENTS:
                replies = fleet.receive(60)
                assert replies
                outcomes.update({reply.client: reply.outcome for reply in replies})
            answers = []
            for number, (name, order) in enumerate(orders.items()):
                answer = outcomes[name]
                assert isinstance(answer, Answer), answer
                assert order.probes is not None
                expected = slopes(server.state.values, number, order.probes)
                np.testing.assert_array_equal(answer.slopes, expected)
                answers.append(answer)
                processes.add(answer.loss)  # a tiny client tells its process there
            server.commit(list(orders.values()), answers)
    assert len(processes) == 2
