"""A Hugging Face tokenizer as GGUF metadata, so that llama.cpp tokenizes like it.

Two kinds exist among LLaMA-class models. `sentencepiece` (LLaMA 1/2, Mistral, TinyLlama): pieces
with `▁` for a space and byte tokens for the rest; llama.cpp merges by score. `bpe` (LLaMA 3,
SmolLM, Qwen2): byte-level BPE; llama.cpp merges by a list and splits words by a named rule.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import gguf
from transformers import PreTrainedTokenizerFast

from exporters.errors import ExportError

TokenizerKind = Literal["sentencepiece", "bpe"]
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")

# How a tokenizer splits words before merging -> the name of the same rule in llama.cpp.
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2_SPLIT = _LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
_TEKKEN_SPLIT = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLIT_NAMES = {_LLAMA3_SPLIT: "llama-bpe", _QWEN2_SPLIT: "qwen2", _TEKKEN_SPLIT: "tekken"}


@dataclass(frozen=True)
class Vocabulary:
    """What GGUF says about a tokenizer: one entry per row of the embedding matrix."""

    kind: TokenizerKind
    tokens: list[str]
    types: list[gguf.TokenType]
    scores: list[float]  # sentencepiece only
    merges: list[str]  # bpe only
    pre: str
    special_ids: dict[str, int]  # bos, eos, unk, pad -> id
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    chat_template: str | None

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Adds the tokenizer's metadata."""
        writer.add_tokenizer_model("llama" if self.kind == "sentencepiece" else "gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.kind == "sentencepiece":
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.add_space_prefix)
        else:
            writer.add_token_merges(self.merges)
        for name, token in self.special_ids.items():
            getattr(writer, f"add_{name}_token_id")(token)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        if self.chat_template:
            writer.add_chat_template(self.chat_template)


def vocabulary_of(tokenizer: PreTrainedTokenizerFast, size: int) -> Vocabulary:
    """Describes the tokenizer for a model with `size` embeddings.

    Embeddings without a token become unused tokens. Tokens added beyond the embeddings are left
    out, as the model cannot read them.

    Raises:
        ExportError: the tokenizer is neither BPE with SentencePiece pieces nor byte-level BPE, or
            its own vocabulary is larger than the model's.
    """
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    model = description["model"]
    if model["type"] != "BPE":
        raise ExportError(
            f"tokenizers of type {model['type']} are not supported",
            remedy="export a model with a LLaMA or byte-level BPE tokenizer",
        )
    pieces: dict[str, int] = model["vocab"]
    if max(pieces.values()) >= size:
        raise ExportError(
            f"the tokenizer has {max(pieces.values()) + 1} tokens, the model only {size}",
            remedy="use the tokenizer that belongs to the model",
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    kind: TokenizerKind = "sentencepiece" if model["byte_fallback"] else "bpe"
    tokens, types = _tokens_and_types(tokenizer, pieces, size)
    special_ids = {
        name: token
        for name in ("bos", "eos", "unk", "pad")
        if (token := getattr(tokenizer, f"{name}_token_id")) is not None and token < size
    }
    framed = tokenizer("a").input_ids
    return Vocabulary(
        kind=kind,
        tokens=tokens,
        types=types,
        scores=_scores(tokens, model["merges"]) if kind == "sentencepiece" else [],
        merges=merges if kind == "bpe" else [],
        pre="default" if kind == "sentencepiece" else _split_name(description),
        special_ids=special_ids,
        add_bos=framed[0] == special_ids.get("bos"),
        add_eos=framed[-1] == special_ids.get("eos"),
        add_space_prefix=_prepends_space(description),
        chat_template=tokenizer.chat_template,
    )


def _tokens_and_types(
    tokenizer: PreTrainedTokenizerFast, pieces: dict[str, int], size: int
) -> tuple[list[str], list[gguf.TokenType]]:
    tokens = [f"[PAD{token}]" for token in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for piece, token in pieces.items():
        tokens[token] = piece
        byte = _BYTE.fullmatch(piece) is not None
        types[token] = gguf.TokenType.BYTE if byte else gguf.TokenType.NORMAL
    for token, added in tokenizer.added_tokens_decoder.items():
        if token < size:
            tokens[token] = added.content
            types[token] = gguf.TokenType.CONTROL if added.special else gguf.TokenType.USER_DEFINED
    unknown = tokenizer.unk_token_id
    if unknown is not None and unknown < size:
        types[unknown] = gguf.TokenType.UNKNOWN
    return tokens, types


def _scores(tokens: list[str], merges: list[Any]) -> list[float]:
    """Scores under which merging the best-scored pair first follows the order of `merges`."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    return [-float(ranks.get(token, 0)) for token in tokens]


def _prepends_space(description: dict[str, Any]) -> bool:
    """Whether the tokenizer puts a space before the text, as SentencePiece does."""
    steps = _steps(description["normalizer"]) + _steps(description["pre_tokenizer"])
    return any(
        step["type"] == "Prepend"
        or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )


def _split_name(description: dict[str, Any]) -> str:
    """llama.cpp's name for the way the tokenizer splits words; `default` when it has none."""
    steps = _steps(description["pre_tokenizer"])
    for step in steps:
        if step["type"] == "Split" and (name := _SPLIT_NAMES.get(step["pattern"].get("Regex", ""))):
            return name
    byte_level = [step for step in steps if step["type"] == "ByteLevel"]
    if byte_level and byte_level[0]["use_regex"]:
        if len(steps) == 1:
            return "gpt-2"
        digits_first = [step["type"] for step in steps] == ["Digits", "ByteLevel"]
        if digits_first and steps[0]["individual_digits"]:
            return "smollm"
    warnings.warn(
        "llama.cpp has no name for this tokenizer's way of splitting words; it may tokenize text "
        "differently (the bundle's own tokenizer is exact)",
        stacklevel=2,
    )
    return "default"


def _steps(stage: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A stage of a tokenizer as a flat list."""
    if stage is None:
        return []
    if stage["type"] == "Sequence":
        parts = stage.get("pretokenizers") or stage.get("normalizers") or []
        return [step for part in parts for step in _steps(part)]
    return [stage]
