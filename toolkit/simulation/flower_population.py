"""The PyTorch clients of a simulation, in the worker processes of Flower's simulation engine."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from toolkit.protocol.update import ReplicaState
from toolkit.simulation.client import TorchClient
from toolkit.simulation.population import client_names
from toolkit.simulation.replicas import ReplicaShelf
from toolkit.simulation.task import Loader
from toolkit.training.contract import TrainingConfig


@dataclass(frozen=True)
class PopulationFactory:
    """A `ClientFactory`; each process loads the model and the examples once and keeps them."""

    load: Loader
    config: TrainingConfig
    # What a process knows it by: every message brings another copy of this object.
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    def __call__(self, number: int) -> MovingClient:
        if self.key not in _CLIENTS:
            _CLIENTS[self.key] = self._clients()
        return _CLIENTS[self.key][number]

    def _clients(self) -> list[MovingClient]:
        loaded = self.load()
        model, population = loaded.model, loaded.population.of_run(self.config)
        learnt = model.prepare(population.learnt, population.cache)
        replicas = ReplicaShelf(model.layout)
        names = client_names(len(population.lines))
        return [
            MovingClient(name, model, learnt, own, replicas, population.options)
            for name, own in zip(names, population.lines, strict=True)
        ]


class MovingClient(TorchClient):
    """A `TorchClient` that takes up what it held in another process."""

    def resume(self, version: int, state: ReplicaState) -> None:
        self._version, self._replica = version, self._replicas.hold(state)


# Of this process, by the key of the factory that made them.
_CLIENTS: dict[str, list[MovingClient]] = {}
