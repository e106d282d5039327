"""Classification with a head: token ids and a class number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from android_harness.examples import NO_LOSS, Example
from toolkit.data.table import Rows
from toolkit.errors import DataError


@dataclass(frozen=True)
class ClassExample:
    """Token ids with the marks that the encoder wants around a text, and the class's number."""

    tokens: tuple[int, ...]
    label: int

    def for_device(self) -> Example:
        """As a runner reads it: the class is the target of the first token."""
        return Example(self.tokens, (self.label, *[NO_LOSS] * (len(self.tokens) - 1)))


def class_examples(
    rows: Rows, classes: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
) -> list[ClassExample]:
    """One example per row, its text cut at the end to `max_tokens` ids.

    A class's number is the position of its label in `classes`.

    Raises:
        DataError: the rows have no labels, or one that is not in `classes`.
    """
    if rows.labels is None:
        raise DataError("classification needs a label column")
    numbers = {label: number for number, label in enumerate(classes)}
    unknown = sorted(set(rows.labels) - set(numbers))
    if unknown:
        raise DataError(
            f"the label {', '.join(unknown)} is not one of the classes",
            remedy=f"use data with the labels {', '.join(classes)}",
        )
    encoded = tokenizer(list(rows.texts), truncation=True, max_length=max_tokens)["input_ids"]
    return [
        ClassExample(tuple(tokens), numbers[label])
        for tokens, label in zip(encoded, rows.labels, strict=True)
    ]
