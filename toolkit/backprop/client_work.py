"""What a client does in a round: a gradient, or training of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.backprop.contract import BackpropConfig, FedAvg, FedSgd
from toolkit.backprop.optimizer import Descent
from toolkit.protocol.update import Values
from toolkit.simulation.torch_model import Prepared, TorchModel


@dataclass(frozen=True)
class Work:
    """A client's result: a gradient (FedSGD) or a change of values (FedAvg), and what it counts."""

    result: Values
    weight: float
    loss: float  # mean over the steps
    steps: int
    examples: int  # that went forwards


@dataclass(frozen=True)
class Learner:
    """A model with the examples of all clients.

    `moved`, bool [parameters], is the support's mask.
    """

    model: TorchModel
    examples: Prepared
    config: BackpropConfig
    moved: NDArray[np.bool_]

    def work(
        self,
        values: Values,
        lines: NDArray[np.int64],
        generator: np.random.Generator,
        decay: float,
    ) -> Work:
        """One client's work of a round on its `lines` of the examples."""
        if isinstance(self.config.method, FedSgd):
            batch = generator.choice(lines, size=min(self.config.batch, len(lines)), replace=False)
            return self._gradient(values, batch)
        return self._train(self.config.method, values, lines, generator, decay)

    def _gradient(self, values: Values, batch: NDArray[np.int64]) -> Work:
        found = self.model.gradient(values, self.examples.batch(np.sort(batch).tolist()))
        gradient = np.where(self.moved, found.values, np.float32(0))
        return Work(gradient, float(len(batch)), found.loss, steps=1, examples=len(batch))

    def _train(
        self,
        method: FedAvg,
        values: Values,
        lines: NDArray[np.int64],
        generator: np.random.Generator,
        decay: float,
    ) -> Work:
        descent = Descent(method.optimizer, len(values))
        before = values
        losses: list[float] = []
        examples = 0
        for batch in self._batches(method, lines, generator):
            of_batch = self._gradient(values, batch)
            values = descent.step(values, of_batch.result, decay)
            losses.append(of_batch.loss)
            examples += of_batch.examples
        change = values - before
        return Work(change, float(len(lines)), float(np.mean(losses)), len(losses), examples)

    def _batches(
        self, method: FedAvg, lines: NDArray[np.int64], generator: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        batches: list[NDArray[np.int64]] = []
        for _ in range(method.epochs):
            order = generator.permutation(lines)
            starts = range(self.config.batch, len(order), self.config.batch)
            batches += np.split(order, list(starts))
        return batches[: method.most_steps]
