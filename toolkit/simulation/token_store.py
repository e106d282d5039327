"""The token ids of many examples, in one place that thousands of clients read from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from android_harness.examples import NO_LOSS, Example


class TokenStore:
    """Examples by line number, counted from 0; read-only once made.

    A labelled example has a class number. An example of a causal model has, for each position,
    the id to predict after it or NO_LOSS. A store holds one kind or the other.
    """

    def __init__(
        self,
        tokens: NDArray[np.int32],
        starts: NDArray[np.int64],
        *,
        labels: NDArray[np.int64] | None = None,
        targets: NDArray[np.int32] | None = None,
    ) -> None:
        """`starts` [examples + 1] says where the tokens of each line begin, and where all end."""
        self._tokens = tokens
        self._starts = starts
        self.labels = labels
        self._targets = targets

    @classmethod
    def labelled(cls, sequences: Iterable[Sequence[int]], labels: Sequence[int]) -> TokenStore:
        """A store for classification by a head.

        Args:
            sequences: token ids with the special tokens that the encoder wants, no padding.
            labels: class numbers from 0.

        Raises:
            ValueError: another number of labels than of sequences, or an empty sequence.
        """
        tokens, starts = _joined(sequences)
        if len(labels) != len(starts) - 1:
            raise ValueError(f"{len(labels)} labels for {len(starts) - 1} sequences")
        return cls(tokens, starts, labels=np.asarray(labels, dtype=np.int64))

    @classmethod
    def of_examples(cls, examples: Sequence[Example]) -> TokenStore:
        """A store for a causal model, of the examples that the native runner reads.

        Raises:
            ValueError: an example without tokens, or with another number of targets.
        """
        tokens, starts = _joined(example.tokens for example in examples)
        targets, target_starts = _joined(example.targets for example in examples)
        if not np.array_equal(starts, target_starts):
            raise ValueError("an example has another number of targets than of tokens")
        return cls(tokens, starts, targets=targets)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def tokens(self, line: int) -> NDArray[np.int32]:
        """The token ids of a line, int32 [tokens]."""
        return self._tokens[self._starts[line] : self._starts[line + 1]]

    def length(self, line: int) -> int:
        return int(self._starts[line + 1] - self._starts[line])

    def targets(self, line: int) -> NDArray[np.int32]:
        """The id to predict after each token of a line or NO_LOSS, int32 [tokens]."""
        if self._targets is None:
            return np.full(self.length(line), NO_LOSS, dtype=np.int32)
        return self._targets[self._starts[line] : self._starts[line + 1]]


def _joined(sequences: Iterable[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    parts = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
    lengths = [len(part) for part in parts]
    if not all(lengths):
        raise ValueError(f"example {lengths.index(0)} has no tokens")
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
    return tokens, starts
