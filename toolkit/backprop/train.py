"""The server of the baselines: rounds of FedAvg or FedSGD."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.backprop.client_work import Learner, Work
from toolkit.backprop.contract import BackpropConfig, BackpropRound, FedSgd
from toolkit.backprop.optimizer import Descent
from toolkit.errors import TrainingError
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.update import Values
from toolkit.simulation.torch_model import Prepared, TorchModel
from toolkit.training.evaluator import Evaluator

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class BackpropResult:
    """The values after the last round, float32 [parameters], and the rounds with round 0."""

    values: Values
    rounds: tuple[BackpropRound, ...]


def train_by_backprop(
    model: TorchModel,
    examples: Prepared,
    clients: Mapping[str, Sequence[int] | NDArray[np.int64]],
    config: BackpropConfig,
    *,
    evaluator: Evaluator | None = None,
    on_round: Callable[[BackpropRound], None] | None = None,
) -> BackpropResult:
    """Trains from the model's initial values; the same arguments lead to the same values.

    Args:
        clients: each client's lines of `examples`.

    Raises:
        TrainingError: there is no client, or one without examples.
        SimulationError: the examples do not suit the model's loss.
    """
    if not clients or not all(len(lines) for lines in clients.values()):
        raise TrainingError("training needs clients with examples")
    lines_of = [np.asarray(lines, dtype=np.int64) for lines in clients.values()]
    learner = Learner(model, examples, config, config.support.mask(model.layout))
    payload = _FLOAT_BYTES * int(learner.moved.sum())
    descent = (
        Descent(config.method.optimizer, model.parameters)
        if isinstance(config.method, FedSgd)
        else None
    )
    values = model.initial
    rounds: list[BackpropRound] = []
    for number in range(config.rounds + 1):
        started = time.monotonic()
        decay = 1 - (number - 1) / config.rounds if config.annealing == "linear" else 1.0
        works = []
        for client in _asked(config, number, len(lines_of)):
            generator = np.random.default_rng([config.seed, number, client])
            works.append(learner.work(values, lines_of[client], generator, decay))
        if works:
            mean = _mean(works)
            values = values + mean if descent is None else descent.step(values, mean, decay)
        seconds = time.monotonic() - started
        due = evaluator is not None and (
            number % config.evaluate_every == 0 or number == config.rounds
        )
        record = BackpropRound(
            round=number,
            loss=float(np.mean([work.loss for work in works])) if works else None,
            clients=len(works),
            forward_passes=sum(work.steps for work in works),
            backward_passes=sum(work.steps for work in works),
            example_passes=sum(work.examples for work in works),
            bytes_down=payload * len(works),
            bytes_up=payload * len(works),
            seconds=seconds,
            values_sha256=values_sha256(values),
            evaluation=evaluator.evaluate(values) if evaluator is not None and due else None,
        )
        rounds.append(record)
        if on_round is not None:
            on_round(record)
    return BackpropResult(values, tuple(rounds))


def _asked(config: BackpropConfig, number: int, clients: int) -> list[int]:
    """The positions of the round's clients; nobody in round 0."""
    if number == 0:
        return []
    if config.clients is None or config.clients >= clients:
        return list(range(clients))
    generator = np.random.default_rng([config.seed, number])
    return [int(one) for one in generator.choice(clients, size=config.clients, replace=False)]


def _mean(works: Sequence[Work]) -> Values:
    """The results' mean by weight, summed in float64 in the order of the clients."""
    total = sum(work.weight for work in works)
    mean = np.zeros(len(works[0].result), dtype=np.float64)
    for work in works:
        mean += work.weight / total * work.result
    return mean.astype(np.float32)
