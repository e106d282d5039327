"""Plain language modelling: every token but the first is predicted from those before it."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from android_harness.examples import Example
from toolkit.data.prompts import encode
from toolkit.errors import DataError


def language_modelling_examples(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
) -> list[Example]:
    """One example per text, cut to `max_tokens` inputs; texts of a single token are skipped.

    Raises:
        DataError: no text has two tokens.
    """
    examples = []
    for text in texts:
        ids = encode(tokenizer, text)[: max_tokens + 1]
        if len(ids) >= 2:
            examples.append(Example(tuple(ids[:-1]), tuple(ids[1:])))
    if not examples:
        raise DataError("no text is long enough to predict a token")
    return examples
