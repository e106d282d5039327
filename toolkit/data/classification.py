"""Classification by prompt and verbalizer: the label is the next token after the prompt."""

from __future__ import annotations

from android_harness.examples import NO_LOSS, Example
from toolkit.data.prompts import Prompt
from toolkit.data.table import Rows
from toolkit.data.verbalizer import Verbalizer
from toolkit.errors import DataError


def classification_examples(
    rows: Rows, prompt: Prompt, verbalizer: Verbalizer, *, max_tokens: int
) -> list[Example]:
    """One example per row: no loss but at the last position, whose target is the label's token.

    Raises:
        DataError: the rows have no labels, or one that the verbalizer does not know.
    """
    if rows.labels is None:
        raise DataError("classification needs a label column")
    unknown = sorted(set(rows.labels) - set(verbalizer.tokens))
    if unknown:
        raise DataError(
            f"the verbalizer has no token for the label {', '.join(unknown)}",
            remedy=f"use data with the labels {', '.join(verbalizer.tokens)}",
        )
    examples = []
    for text, label in zip(rows.texts, rows.labels, strict=True):
        tokens = prompt.encode(text, max_tokens)
        targets = (NO_LOSS,) * (len(tokens) - 1) + (verbalizer.tokens[label],)
        examples.append(Example(tokens, targets))
    return examples
