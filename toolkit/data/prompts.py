"""Texts as token ids of a bounded length that end in a fixed piece of prompt."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from toolkit.errors import DataError

TEXT_FIELD = "{text}"
DEFAULT_TEMPLATE = "{text}\nTopic:"


class Prompt:
    """A template around a text, e.g. `{text}\\nTopic:`.

    What follows the text is encoded on its own and always kept, so that the label is predicted
    after the same tokens however much of the text is cut.

    Raises:
        DataError: the template does not hold `{text}` exactly once, or nothing follows it.
    """

    def __init__(self, template: str, tokenizer: PreTrainedTokenizerBase) -> None:
        before, found, after = template.partition(TEXT_FIELD)
        if not found or TEXT_FIELD in after or not after.strip():
            raise DataError(
                f"the prompt template {template!r} does not hold {TEXT_FIELD} once, words after it",
                remedy=f"write for example {DEFAULT_TEMPLATE!r}",
            )
        self.before, self.after = before, after
        self.tail = continuation(tokenizer, "a", after)
        self._tokenizer = tokenizer

    def encode(self, text: str, max_tokens: int) -> tuple[int, ...]:
        """The ids of the filled template, at most `max_tokens`: the text is cut at its end.

        Raises:
            DataError: the tail alone leaves no room for text.
        """
        room = max_tokens - len(self.tail)
        if room < 2:
            raise DataError(
                f"{max_tokens} tokens leave no room beside the {len(self.tail)} of the prompt",
                remedy="allow more tokens or shorten the prompt",
            )
        return (*encode(self._tokenizer, self.before + text)[:room], *self.tail)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of `text`, begun as the model expects a text to begin, without an end marker."""
    ids: list[int] = tokenizer(text)["input_ids"]
    if ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return ids


def continuation(tokenizer: PreTrainedTokenizerBase, context: str, text: str) -> tuple[int, ...]:
    """Token ids of `text` where it follows `context`, without the marks of a beginning."""
    before = tokenizer(context, add_special_tokens=False)["input_ids"]
    both = tokenizer(context + text, add_special_tokens=False)["input_ids"]
    common = next(
        (i for i, (a, b) in enumerate(zip(before, both, strict=False)) if a != b), len(before)
    )
    return tuple(both[common:])
