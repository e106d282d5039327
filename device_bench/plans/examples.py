"""Random token sequences to time on: what they say does not matter, how long they are does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from android_harness.examples import NO_LOSS, Example, write_examples
from device_bench.costs.setting import LossPositions
from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import Arm
from exporters.manifest import Architecture


class RandomExamples:
    """One examples file for all arms of a sweep, and which of its lines an arm uses.

    For each token count it holds as many examples as the largest batch of that count; an arm
    takes the first `batch` of them.

    Raises:
        SweepSettingsError: an arm has more tokens than the model's context.
    """

    def __init__(self, arms: Sequence[Arm], architecture: Architecture) -> None:
        longest = max(arm.tokens for arm in arms)
        if longest > architecture.context_length:
            raise SweepSettingsError(
                f"{longest} tokens do not fit the model's context of {architecture.context_length}",
                remedy=f"give token counts of at most {architecture.context_length}",
            )
        self._vocabulary_size = architecture.vocabulary_size
        self._classes = architecture.classes
        self._examples_of: dict[int, int] = {}  # tokens -> examples of that length
        for arm in sorted(arms, key=lambda arm: arm.tokens):
            held = self._examples_of.get(arm.tokens, 0)
            self._examples_of[arm.tokens] = max(held, arm.batch)

    def lines_of(self, arm: Arm) -> tuple[int, ...]:
        """The examples of the arm's batch, by their 0-based line in the file."""
        first = sum(held for tokens, held in self._examples_of.items() if tokens < arm.tokens)
        return tuple(range(first, first + arm.batch))

    def write(self, path: Path, *, seed: int, loss_positions: LossPositions) -> None:
        """Writes the examples as JSON Lines, with ids drawn uniformly from the vocabulary.

        An encoder classifier has one loss per example, whatever the positions, and its target,
        which stands at the first token, is drawn from the classes.
        """
        generator = np.random.default_rng(seed)
        drawn = []
        for tokens, examples in self._examples_of.items():
            for _ in range(examples):
                ids = generator.integers(self._vocabulary_size, size=tokens + 1).tolist()
                targets = ids[1:]
                if self._classes is not None:
                    targets = [int(generator.integers(self._classes)), *[NO_LOSS] * (tokens - 1)]
                elif loss_positions == "last":
                    targets[:-1] = [NO_LOSS] * (tokens - 1)
                drawn.append(Example(tuple(ids[:-1]), tuple(targets)))
        write_examples(path, drawn)
