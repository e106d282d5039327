"""Random models of every supported family, small enough to make in well under a second."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
)

VOCABULARY_SIZE = 384
TEXT = (
    "The quick brown fox jumps over the lazy dog, and 1234 dogs bark at 56 foxes.",
    "Once upon a time there was a little phone that wanted to learn from its owner's words!",
    "It's a model, isn't it? They've trained; we'll see what I'd say: don't panic.",
    "Stocks fell 7.5% on Monday as investors feared rates; the dollar rose to 1.0834 euros.",
    "Größe, café, naïve, übung, señor: accents are letters too.\nSo are new lines.\n\n  Spaces.",
)

# Overrides of random_llama that make a model of each supported kind.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-tied-gqa": {"tie_word_embeddings": True, "num_key_value_heads": 1},
    "llama-biases": {"attention_bias": True, "mlp_bias": True},
    "llama-wide-heads": {"head_dim": 32},
    "llama-llama3-rope": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    },
    "llama-linear-rope": {
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    },
    "mistral": {"model_type": "mistral", "sliding_window": None, "head_dim": 16},
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True, "tokenizer": "qwen2"},
}


def random_llama(
    folder: Path,
    *,
    model_type: str = "llama",
    tokenizer: str = "sentencepiece",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Saves a random model and a tokenizer as a Hugging Face folder; returns the folder.

    Args:
        tokenizer: `sentencepiece`, or a kind of byte-level BPE: `llama3`, `qwen2`, `smollm`,
            `gpt2`.
        overrides: fields of the configuration.
    """
    shapes: dict[str, Any] = {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.15,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    config = AutoConfig.for_model(model_type, **(shapes | overrides))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for name, values in model.named_parameters():
            if values.dim() == 1:  # norms and biases start as constants, which would hide mistakes
                offset = 1.0 if "norm" in name else 0.0
                torch.nn.init.normal_(values, mean=offset, std=0.1)
    model.to(dtype).save_pretrained(folder)
    make_tokenizer(tokenizer).save_pretrained(folder)
    return folder


@functools.cache
def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of at most VOCABULARY_SIZE tokens, trained on TEXT."""
    return _sentencepiece() if kind == "sentencepiece" else _byte_level(kind)


def sentencepiece_model() -> bytes:
    """A tokenizer.model as LLaMA's was made: BPE, byte fallback, no normalization."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in TEXT for line in text.splitlines() if line),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY_SIZE - 8,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        character_coverage=0.99,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def _sentencepiece() -> PreTrainedTokenizerFast:
    processor = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    pieces = [processor.id_to_piece(token) for token in range(processor.get_piece_size())]
    scores = {piece: processor.get_score(token) for token, piece in enumerate(pieces)}
    vocabulary = {piece: token for token, piece in enumerate(pieces)}
    merges = sorted(
        (
            (piece[:cut], piece[cut:])
            for piece in pieces
            for cut in range(1, len(piece))
            if piece[:cut] in vocabulary and piece[cut:] in vocabulary
        ),
        key=lambda pair: -scores[pair[0] + pair[1]],
    )
    return LlamaTokenizer(vocab=vocabulary, merges=merges)


def _byte_level(kind: str) -> PreTrainedTokenizerFast:
    letters = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    rest = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    own_split = {"llama3": letters + r"\p{N}{1,3}" + rest, "qwen2": letters + r"\p{N}" + rest}
    if kind in own_split:
        first = pre_tokenizers.Split(Regex(own_split[kind]), behavior="isolated")
        bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        splitter = pre_tokenizers.Sequence([first, bytes_only])
    elif kind == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        splitter = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(False)])
    else:
        splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(BPE(ignore_merges=kind == "llama3"))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 8,
        special_tokens=["<|unknown|>", "<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>"
    )
