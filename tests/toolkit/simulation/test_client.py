"""Simulated clients: replicas, what they measure, what they refuse."""

from __future__ import annotations

import dataclasses
import gc
import pickle
from typing import Any

import numpy as np
import pytest

from exporters.lora.combination import Combination, named_direction
from exporters.lora.support import Support
from tests.toolkit.simulation.encoders import CLASSES, labelled_store, tuned
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.fleet import StaleReplicaError
from toolkit.protocol.order import Along, CatchUp, Order, Probes, Snapshot
from toolkit.protocol.update import Overwrite, ReplicaState, RoundUpdate
from toolkit.simulation.client import ClientOptions, TorchClient
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.replicas import ReplicaShelf
from toolkit.simulation.torch_model import Prepared, TorchModel

BATCH = (1, 0, 2)
LINES = (5, 3, 0)


class Population:
    """Clients of one model and store, and the server's view of the versions."""

    def __init__(self, **options: Any) -> None:
        self.model: TorchModel = tuned(layers="last:2")
        self.examples: Prepared = self.model.prepare(labelled_store())
        self.shelf = ReplicaShelf(self.model.layout)
        self.options = ClientOptions(**options)
        self.states = [ReplicaState(self.model.initial)]
        self.updates: list[RoundUpdate] = []

    def client(self, name: str = "phone", lines: tuple[int, ...] = LINES) -> TorchClient:
        return TorchClient(name, self.model, self.examples, lines, self.shelf, self.options)

    def commit(self, update: RoundUpdate) -> None:
        self.updates.append(update)
        self.states.append(self.states[-1].after(update, self.model.layout))

    def order(self, since: int | None = None, **changes: Any) -> Order:
        """An order at the latest version; with `since` None its state is sent."""
        version = len(self.updates)
        sync = (
            Snapshot(self.states[-1])
            if since is None
            else CatchUp(since, tuple(self.updates[since:]))
        )
        order = Order(
            round_number=version + 1,
            increment=0,
            version=version,
            sync=sync,
            values_sha256=values_sha256(self.states[-1].values),
            batch=BATCH,
            estimator="tangent",
            epsilon=1e-2,
            probes=Probes((11, 12, 13), "rademacher", Support(), 2),
        )
        return dataclasses.replace(order, **changes)


def update(seed: int, momentum: tuple[float, float] | None = None) -> RoundUpdate:
    return RoundUpdate(
        combinations=(Combination(pairs=((seed, 0.05), (seed + 1, -0.02))),), momentum=momentum
    )


def slopes_of(population: Population, estimator: str, **options: Any) -> np.ndarray:
    model, state = population.model, population.states[-1]
    directions = np.stack([named_direction(seed, model.layout) for seed in (11, 12, 13)])
    batch = population.examples.batch([LINES[number] for number in BATCH])
    return model.slopes(
        state.values, batch, directions, estimator=estimator, epsilon=1e-2, **options
    ).values


@pytest.mark.parametrize(
    ("estimator", "tangent"),
    [("central", "reverse"), ("forward", "reverse"), ("tangent", "jvp"), ("tangent", "reverse")],
)
def test_it_measures_at_its_own_examples(estimator: str, tangent: Any) -> None:
    population = Population(tangent=tangent)
    population.commit(update(1))
    answer = population.client().answer(population.order(since=0, estimator=estimator))
    expected = slopes_of(population, estimator, by=tangent, directions_per_pass=2)
    assert answer.slopes.dtype == np.float32
    assert answer.slopes.tolist() == expected.tolist()
    assert (answer.round_number, answer.increment) == (2, 0)
    assert answer.values_sha256 == values_sha256(population.states[-1].values)
    assert (answer.along_slope, answer.head_gradient) == (None, None)
    assert answer.seconds > 0
    loss = population.model.evaluate(
        population.states[-1].values, population.examples, [LINES[number] for number in BATCH]
    ).loss
    assert answer.loss == pytest.approx(loss, rel=2e-2)


def test_the_loss_knows_of_the_clients_own_label_shares() -> None:
    """At logits of 0 the softmax over the shifts alone is what the model predicts."""
    population = Population(label_prior=1.0)
    nothing = np.zeros(population.model.parameters, dtype=np.float32)
    population.commit(RoundUpdate(overwrites=(Overwrite(0, nothing),)))
    answer = population.client().answer(population.order(exact_head=True))
    store = population.examples.store
    assert store.labels is not None
    counts = np.bincount(store.labels[list(LINES)], minlength=CLASSES)
    predicted = (counts + 0.5) / (len(LINES) + 0.5 * CLASSES)
    assert answer.head_gradient is not None
    assert answer.head_gradient[-CLASSES:] == pytest.approx(
        predicted - counts / len(LINES), abs=1e-6
    )
    expected = -np.log(predicted) @ counts / len(LINES)
    assert answer.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("estimator", ["central", "forward", "tangent"])
def test_every_estimator_measures_the_shifted_loss(estimator: str) -> None:
    plain, shifted = (Population(label_prior=prior, tangent="jvp") for prior in (0.0, 1.0))
    for population in (plain, shifted):
        population.commit(RoundUpdate(overwrites=(Overwrite(0, _some_values(population)),)))
    slopes = [
        population.client().answer(population.order(estimator=estimator, epsilon=1e-3)).slopes
        for population in (plain, shifted)
    ]
    reference = shifted.client().answer(shifted.order(estimator="tangent")).slopes
    assert slopes[1] == pytest.approx(reference, rel=0.05, abs=5e-3)
    assert slopes[0] != pytest.approx(slopes[1], rel=0.05, abs=5e-3)


def _some_values(population: Population) -> np.ndarray:
    parameters = population.model.parameters
    return 0.1 * np.random.default_rng(0).standard_normal(parameters).astype(np.float32)


def test_the_support_of_the_probes_is_kept() -> None:
    population = Population(tangent="jvp")
    probes = Probes((11,), "gaussian", Support(layers=(2, 2), matrices="B", head=False), 1)
    answer = population.client().answer(population.order(probes=probes))
    model = population.model
    direction = named_direction(11, model.layout, probes.distribution, probes.support)
    batch = population.examples.batch([LINES[number] for number in BATCH])
    gradient = model.gradient(model.initial, batch).values
    assert 0 < np.count_nonzero(direction) < model.parameters / 2
    assert answer.slopes[0] == pytest.approx(float(direction @ gradient), rel=1e-4)


def test_replicas_catch_up_from_wherever_they_are() -> None:
    population = Population()
    client, absent = population.client("one"), population.client("two")
    assert client.answer(population.order(since=0)).values_from == "held"
    momentum = (0.9, 0.5)
    for number in range(4):
        population.commit(update(10 * number, momentum if number > 1 else None))
        # More than it lacks: what it holds already is left out.
        answer = client.answer(population.order(since=max(0, number - 1)))
        assert answer.values_from == "updates"
    assert absent.answer(population.order(since=0)).values_from == "updates"
    snapshot = population.client("three")
    assert snapshot.answer(population.order()).values_from == "snapshot"
    expected = population.states[-1]
    for one in (client, absent, snapshot):
        version, state = one.replica
        assert version == 4
        assert state.values.tobytes() == expected.values.tobytes()
        assert state.memory.tobytes() == expected.memory.tobytes()


def test_clients_of_one_version_share_one_array() -> None:
    population = Population()
    clients = [population.client(f"phone-{number}") for number in range(50)]
    for number in range(3):
        population.commit(update(number, momentum=(0.5, 1.0)))
        order = population.order(since=number)
        for position, client in enumerate(clients):
            if position == 49:
                continue
            # As from a network: equal content, other objects.
            client.answer(pickle.loads(pickle.dumps(order)) if position % 2 else order)
    clients[48].answer(population.order())
    clients[49].answer(population.order(since=0))
    first = clients[0].replica[1]
    for client in clients:
        assert client.replica[1].values is first.values
        assert client.replica[1].memory is first.memory


def test_states_that_nobody_needs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.simulation.replicas._KEPT_BYTES", 1)
    population = Population()
    client = population.client()
    for number in range(20):
        population.commit(update(number))
        client.answer(population.order(since=number))
    gc.collect()
    assert len(population.shelf) <= 2


@pytest.mark.parametrize(
    "changes",
    [
        {"values_sha256": "0" * 64},
        {"sync": CatchUp(1, ())},
        {"sync": CatchUp(0, ())},
        {"sync": CatchUp(0, (update(5), update(5)))},
        {"sync": CatchUp(0, (update(99),))},
        {"version": 0, "sync": CatchUp(0, ()), "values_sha256": "0" * 64},
    ],
)
def test_a_replica_that_is_not_the_servers_is_stale(changes: dict[str, Any]) -> None:
    population = Population()
    population.commit(update(5))
    client = population.client()
    with pytest.raises(StaleReplicaError, match="phone"):
        client.answer(population.order(since=0, **changes))
    assert client.replica[0] == 0
    assert client.replica[1].values is population.client().replica[1].values
    # A snapshot mends it.
    assert client.answer(population.order()).values_from == "snapshot"


def test_a_replica_ahead_of_the_order_is_stale() -> None:
    population = Population()
    population.commit(update(5))
    client = population.client()
    client.answer(population.order(since=0))
    with pytest.raises(StaleReplicaError):
        client.answer(
            population.order(
                version=0,
                sync=CatchUp(0, ()),
                values_sha256=values_sha256(population.states[0].values),
            )
        )


@pytest.mark.parametrize("tangent", ["jvp", "reverse"])
@pytest.mark.parametrize("estimator", ["tangent", "central"])
def test_the_slope_along_an_update(tangent: Any, estimator: Any) -> None:
    population = Population(tangent=tangent)
    population.commit(update(5, momentum=(0.0, 1.0)))
    along = Along(keep=0.5, combinations=update(7).combinations)
    client = population.client()
    answer = client.answer(population.order(along=along, estimator=estimator))
    u = 0.5 * population.states[-1].memory
    for seed, coefficient in along.combinations[0].pairs:
        u = u + coefficient * named_direction(seed, population.model.layout)
    u /= np.sqrt(np.mean(np.square(u)))
    batch = population.examples.batch([LINES[number] for number in BATCH])
    gradient = population.model.gradient(population.states[-1].values, batch).values
    # A central difference has an error of second order in its step.
    tolerance = 1e-4 if estimator == "tangent" else 1e-2
    assert answer.along_slope == pytest.approx(float(u @ gradient), rel=tolerance)
    alone = client.answer(population.order(along=along, estimator=estimator, probes=None))
    assert alone.slopes.shape == (0,)
    assert alone.along_slope == pytest.approx(answer.along_slope, rel=1e-4)


@pytest.mark.parametrize("tangent", ["jvp", "reverse"])
@pytest.mark.parametrize("estimator", ["tangent", "central"])
def test_the_exact_head_comes_along(tangent: Any, estimator: Any) -> None:
    population = Population(tangent=tangent)
    order = population.order(exact_head=True, estimator=estimator)
    answer = population.client().answer(order)
    batch = population.examples.batch([LINES[number] for number in BATCH])
    expected = population.model.head_gradient(population.model.initial, batch)
    assert np.abs(answer.head_gradient - expected.values).max() < 1e-6
    alone = population.client().answer(dataclasses.replace(order, probes=None))
    assert alone.head_gradient.tolist() == expected.values.tolist()
    assert alone.loss == expected.loss


def test_an_exact_head_is_replaced_by_an_overwrite() -> None:
    population = Population()
    head = population.model.head
    new = np.arange(head.stop - head.start, dtype=np.float32)
    population.commit(RoundUpdate(overwrites=(Overwrite(head.start, new),)))
    client = population.client()
    client.answer(population.order(since=0))
    assert client.replica[1].values[head].tolist() == new.tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": (3,)}, "phone has 3 examples"),
        ({"batch": ()}, "cannot draw"),
        ({"probes": None}, "nothing to measure"),
        ({"probes": Probes(((1, 2),), "rademacher", Support(), 1)}, "cannot make a direction"),
    ],
)
def test_orders_that_it_cannot_follow(changes: dict[str, Any], words: str) -> None:
    population = Population()
    with pytest.raises(SimulationError, match=words):
        population.client().answer(population.order(**changes))


def test_what_leaves_it_is_private_when_asked() -> None:
    noise = SlopeNoise(clip=0.01, multiplier=1e-6)
    population = Population(privacy=noise, secret=b"s")
    answer = population.client().answer(population.order())
    plain = slopes_of(population, "tangent")
    assert np.abs(plain).max() > 0.02
    assert answer.slopes == pytest.approx(np.clip(plain, -0.01, 0.01), abs=1e-6)
    assert np.isnan(answer.loss)


def test_seconds_are_modelled_when_a_model_is_given() -> None:
    population = Population(seconds=lambda name, order: len(name) + len(order.batch))
    assert population.client("abcd").answer(population.order()).seconds == 7


def test_rounds_of_orders_lower_the_loss() -> None:
    """Forward gradients over three clients, their replicas kept by the updates alone."""
    population = Population()
    clients = [population.client(f"phone-{n}", (n, n + 3)) for n in range(3)]
    model = population.model
    before = model.evaluate(model.initial, population.examples).loss
    for round_number in range(40):
        pairs: list[tuple[int, float]] = []
        for number, client in enumerate(clients):
            seeds = tuple(
                range(
                    1000 * round_number + 100 * number + 1, 1000 * round_number + 100 * number + 9
                )
            )
            answer = client.answer(
                population.order(
                    since=max(0, round_number - 1),
                    probes=Probes(seeds, "rademacher", Support(), 8),
                    batch=(0, 1),
                )
            )
            pairs += [
                (seed, -0.02 / 24 * float(s)) for seed, s in zip(seeds, answer.slopes, strict=True)
            ]
        population.commit(RoundUpdate(combinations=(Combination(pairs=tuple(pairs)),)))
    after = model.evaluate(population.states[-1].values, population.examples).loss
    assert after < 0.7 * before
    assert len({id(client.replica[1].values) for client in clients}) == 1
