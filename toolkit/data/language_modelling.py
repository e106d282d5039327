"""Plain language modelling: every token but the first is predicted from those before it."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from android_harness.examples import Example
from toolkit.data.prompts import encode


def language_modelling_examples(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
) -> dict[int, Example]:
    """One example per text, by the text's position, cut to `max_tokens` inputs.

    Texts of a single token are left out.
    """
    examples = {}
    for position, text in enumerate(texts):
        ids = encode(tokenizer, text)[: max_tokens + 1]
        if len(ids) >= 2:
            examples[position] = Example(tuple(ids[:-1]), tuple(ids[1:]))
    return examples
