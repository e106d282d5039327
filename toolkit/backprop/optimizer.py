"""Steps of SGD and Adam on a flat vector."""

from __future__ import annotations

import numpy as np

from toolkit.backprop.contract import Adam, Optimizer
from toolkit.protocol.update import Values


class Descent:
    """An optimizer with its memory, which begins empty."""

    def __init__(self, optimizer: Optimizer, parameters: int) -> None:
        self._optimizer = optimizer
        self._first = np.zeros(parameters, dtype=np.float32)
        self._second = np.zeros(parameters, dtype=np.float32)
        self._steps = 0

    def step(self, values: Values, gradient: Values, decay: float = 1.0) -> Values:
        """The values after one step; a parameter whose gradient was always 0 stays as it is.

        Args:
            decay: what the rate is multiplied by.
        """
        rule = self._optimizer
        if not isinstance(rule, Adam):
            return values - np.float32(decay * rule.rate) * gradient
        self._steps += 1
        self._first += np.float32(1 - rule.beta1) * (gradient - self._first)
        self._second += np.float32(1 - rule.beta2) * (np.square(gradient) - self._second)
        first = self._first / np.float32(1 - rule.beta1**self._steps)
        second = self._second / np.float32(1 - rule.beta2**self._steps)
        return values - np.float32(decay * rule.rate) * first / (
            np.sqrt(second) + np.float32(rule.epsilon)
        )
