"""Labels as single tokens: the verbalizer of prompt-based classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from transformers import PreTrainedTokenizerBase

from toolkit.data.prompts import Prompt, continuation
from toolkit.errors import DataError

# How tokenizers mark a piece that begins a word: SentencePiece and byte-level BPE.
_WORD_MARKS = ("▁", "Ġ")


@dataclass(frozen=True)
class Verbalizer:
    """For each label the word that stands for it and the token that begins that word."""

    words: dict[str, str]
    tokens: dict[str, int]


def parse_words(text: str) -> dict[str, str]:
    """Reads `1=World,2=Sports` into {label: word}.

    Raises:
        DataError: a part is not of the form LABEL=WORD, or a label comes twice.
    """
    words: dict[str, str] = {}
    for part in text.split(","):
        label, found, word = (piece.strip() for piece in part.partition("="))
        if not (found and label and word) or label in words:
            raise DataError(
                f"cannot read {part!r} in the verbalizer {text!r}",
                remedy="write LABEL=WORD,LABEL=WORD with each label once",
            )
        words[label] = word
    return words


def make_verbalizer(
    labels: Sequence[str],
    prompt: Prompt,
    tokenizer: PreTrainedTokenizerBase,
    words: Mapping[str, str] | None = None,
) -> Verbalizer:
    """The verbalizer of all distinct `labels`.

    A word counts by the first token it continues the prompt with, since one prediction decides.
    Without `words` the labels themselves are tried, then letters, then the tokenizer's own first
    pieces that begin a word.

    Raises:
        DataError: fewer than two labels; `words` lacks a label or gives two the same token; or
            the tokenizer has no distinct tokens to choose.
    """
    distinct = sorted(set(labels))
    if len(distinct) < 2:
        raise DataError(f"classification needs at least two labels, found {distinct}")
    if words is not None:
        return _chosen(distinct, prompt, tokenizer, words)
    itself = {label: label for label in distinct}
    letters = dict(zip(distinct, ascii_uppercase, strict=False))
    for candidate in (itself, letters):
        tokens = _tokens(candidate, prompt, tokenizer)
        if len(set(tokens.values())) == len(distinct):
            return Verbalizer(words=candidate, tokens=tokens)
    return _from_vocabulary(distinct, tokenizer)


def _chosen(
    labels: Sequence[str],
    prompt: Prompt,
    tokenizer: PreTrainedTokenizerBase,
    words: Mapping[str, str],
) -> Verbalizer:
    missing = [label for label in labels if label not in words]
    if missing:
        raise DataError(
            f"the verbalizer has no word for the label {', '.join(missing)}",
            remedy=f"give words for all of {', '.join(labels)}",
        )
    chosen = {label: words[label] for label in labels}
    tokens = _tokens(chosen, prompt, tokenizer)
    by_token: dict[int, str] = {}
    for label, token in tokens.items():
        if token in by_token:
            other = by_token[token]
            raise DataError(
                f"the words {chosen[other]!r} (label {other}) and {chosen[label]!r} (label "
                f"{label}) begin with the same token {tokenizer.convert_ids_to_tokens(token)!r}",
                remedy="choose words that begin differently for this model's tokenizer",
            )
        by_token[token] = label
    return Verbalizer(words=chosen, tokens=tokens)


def _tokens(
    words: Mapping[str, str], prompt: Prompt, tokenizer: PreTrainedTokenizerBase
) -> dict[str, int]:
    """The token that each word continues the prompt with."""
    return {
        label: continuation(tokenizer, "a" + prompt.after, f" {word}")[0]
        for label, word in words.items()
    }


def _from_vocabulary(labels: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Verbalizer:
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    usable = [
        (piece[1:], token)
        for token, piece in enumerate(pieces)
        if piece and piece[0] in _WORD_MARKS and piece[1:].isalpha() and token not in special
    ]
    if len(usable) < len(labels):
        raise DataError(
            f"the tokenizer has no {len(labels)} distinct tokens that begin a word",
            remedy="give the words of the labels yourself",
        )
    chosen = dict(zip(labels, usable, strict=False))
    return Verbalizer(
        words={label: word for label, (word, _) in chosen.items()},
        tokens={label: token for label, (_, token) in chosen.items()},
    )
