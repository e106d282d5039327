"""Held-out examples evaluated in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from toolkit.protocol.update import Values
from toolkit.simulation.torch_model import Prepared, TorchModel
from toolkit.training.contract import Evaluation


class TorchEvaluator:
    """An `Evaluator` on these lines of a store, or on all; at least one."""

    def __init__(
        self, model: TorchModel, held_out: Prepared, lines: Sequence[int] | None = None
    ) -> None:
        self._model = model
        self._held_out = held_out
        self._lines = lines

    def evaluate(self, values: Values) -> Evaluation:
        """
        Raises:
            SimulationError: the examples do not suit the model's loss.
        """
        started = time.monotonic()
        evaluated = self._model.evaluate(values, self._held_out, self._lines)
        return Evaluation(
            loss=evaluated.loss,
            accuracy=evaluated.accuracy,
            positions=evaluated.targets,
            seconds=time.monotonic() - started,
        )
