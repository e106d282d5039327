"""The PyTorch clients of a simulation, in the worker processes of Flower's simulation engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from toolkit.protocol.update import ReplicaState
from toolkit.simulation.client import TorchClient
from toolkit.simulation.replicas import ReplicaShelf
from toolkit.simulation.run import Population, client_names
from toolkit.simulation.torch_model import TorchModel


@dataclass(frozen=True)
class PopulationFactory:
    """A `ClientFactory`; each process loads the model and the examples once and keeps them.

    Args:
        load: gives the same in every process. It must be hashable and Ray must be able to pickle
            it: a function of a module, or a frozen dataclass with `__call__`.
    """

    load: Callable[[], tuple[TorchModel, Population]]

    def __call__(self, number: int) -> MovingClient:
        return _clients(self.load)[number]


class MovingClient(TorchClient):
    """A `TorchClient` that takes up what it held in another process."""

    def resume(self, version: int, state: ReplicaState) -> None:
        self._version, self._replica = version, self._replicas.hold(state)


@cache
def _clients(load: Callable[[], tuple[TorchModel, Population]]) -> list[MovingClient]:
    model, population = load()
    learnt = model.prepare(population.learnt, population.cache)
    replicas = ReplicaShelf(model.layout)
    return [
        MovingClient(name, model, learnt, own, replicas, population.options)
        for name, own in zip(client_names(len(population.lines)), population.lines, strict=True)
    ]
