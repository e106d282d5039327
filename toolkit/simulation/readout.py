"""From the last layer's states to logits and what they should have predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from android_harness.examples import NO_LOSS
from android_harness.job import Loss, VerbalizerLoss
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.token_store import TokenStore


@dataclass(frozen=True)
class Wanted:
    """What a batch should predict.

    `positions` int64 [predictions] counts through the padded batch, row by row; None: one
    prediction for each sequence as a whole. `classes` int64 [predictions].
    """

    positions: torch.Tensor | None
    classes: torch.Tensor


class Readout(Protocol):
    """Logits of a batch."""

    @property
    def classes(self) -> int | None:
        """How many there are to choose among; None: the targets are tokens of a vocabulary."""
        ...

    def wanted(self, store: TokenStore, lines: Sequence[int], longest: int) -> Wanted: ...

    def logits(
        self,
        states: torch.Tensor,
        lengths: torch.Tensor,
        wanted: Wanted,
        values: torch.Tensor,
    ) -> torch.Tensor:
        """[predictions, classes] of finished states [batch, tokens, width]."""
        ...


class HeadReadout:
    """A linear head on the mean of a sequence's states; its parameters are in the flat vector."""

    def __init__(self, head: slice, classes: int, features: int) -> None:
        self.head = head
        self.classes = classes
        self._features = features

    def wanted(self, store: TokenStore, lines: Sequence[int], longest: int) -> Wanted:
        if store.labels is None:
            raise SimulationError("a classification head needs examples with labels")
        classes = store.labels[np.asarray(lines)]
        if classes.min() < 0 or classes.max() >= self.classes:
            raise SimulationError(f"a label is not one of the head's {self.classes} classes")
        return Wanted(None, torch.from_numpy(classes))

    def features(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The mean over each sequence's tokens, [batch, width]."""
        inside = torch.arange(states.shape[-2])[None, :] < lengths[:, None]
        weights = inside.to(states.dtype) / lengths[:, None]
        return (weights[:, None, :] @ states).squeeze(-2)

    def logits(
        self, states: torch.Tensor, lengths: torch.Tensor, wanted: Wanted, values: torch.Tensor
    ) -> torch.Tensor:
        return self.head_logits(self.features(states, lengths), values)

    def head_logits(self, features: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """[batch, classes] of pooled features [batch, width]."""
        head = values[self.head]
        weight = head[: self.classes * self._features].reshape(self.classes, self._features)
        return features @ weight.T + head[self.classes * self._features :]


class CausalReadout:
    """The rows of the frozen output matrix that the loss compares."""

    def __init__(self, head: nn.Linear, loss: Loss) -> None:
        weight: Any = head.weight
        self.classes: int | None = None
        self._labels: dict[int, int] | None = None
        if isinstance(loss, VerbalizerLoss):
            self.classes = len(loss.tokens)
            self._labels = {token: number for number, token in enumerate(loss.tokens)}
            weight = weight[list(loss.tokens)]
        self._rows = weight.detach()

    def wanted(self, store: TokenStore, lines: Sequence[int], longest: int) -> Wanted:
        positions, targets = [], []
        for row, line in enumerate(lines):
            of_line = store.targets(line)
            (where,) = np.nonzero(of_line != NO_LOSS)
            positions.append(where + row * longest)
            targets.append(of_line[where])
        classes = np.concatenate(targets).astype(np.int64)
        if not len(classes):
            raise SimulationError("no example of the batch has a target")
        if self._labels is not None:
            try:
                classes = np.array([self._labels[token] for token in classes.tolist()])
            except KeyError as error:
                raise SimulationError(
                    f"the target {error.args[0]} is not one of the verbalizer's tokens"
                ) from error
        return Wanted(torch.from_numpy(np.concatenate(positions)), torch.from_numpy(classes))

    def logits(
        self, states: torch.Tensor, lengths: torch.Tensor, wanted: Wanted, values: torch.Tensor
    ) -> torch.Tensor:
        assert wanted.positions is not None
        return states.flatten(-3, -2)[..., wanted.positions, :] @ self._rows.T
