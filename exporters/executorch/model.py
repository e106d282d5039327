"""What programs need of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from exporters.executorch.sizes import Sizes


class Model(nn.Module, ABC):
    """A `Decoder` or an `Encoder`.

    `forward(arithmetic, frame, tokens, second)` gives the rows that `head` takes, one per position
    where a loss is taken.

    Attributes:
        second_input: the name of the input behind the tokens.
        head: from the model's output to logits.
    """

    second_input: ClassVar[str]
    head: nn.Linear

    @property
    @abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Of the rows that are normed."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Of the logits: the vocabulary of a decoder."""

    @abstractmethod
    def frame(self, batch: int, length: int) -> nn.Module:
        """What of a computation depends on the batch's size alone."""

    @abstractmethod
    def second_input_of(self, sizes: Sizes) -> torch.Tensor:
        """An example of that input."""
