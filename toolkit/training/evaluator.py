"""What a server needs to know how good its values are."""

from __future__ import annotations

from typing import Protocol

from toolkit.protocol.update import Values
from toolkit.training.contract import Evaluation


class Evaluator(Protocol):
    """Held-out examples, and a model to run them through."""

    def evaluate(self, values: Values) -> Evaluation:
        """Mean loss and, where the loss is over labels, accuracy.

        Raises:
            FwdllmError: the model could not be run.
        """
        ...
