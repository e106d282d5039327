"""Tiny adapted decoders in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from exporters.architecture import architecture_of
from exporters.executorch.decoder import Decoder
from exporters.executorch.programs import program_module
from exporters.executorch.sizes import Kind, Sizes
from exporters.lora.attach import attach_fresh, layout_of, values_of
from exporters.lora.layout import LoraLayout
from exporters.lora.request import LoraRequest
from exporters.torch_reference import TorchReference

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}


@dataclass
class Adapted:
    """A random decoder, its LoRA with B apart from zero, and what PyTorch makes of both."""

    decoder: Decoder
    layout: LoraLayout
    values: NDArray[np.float32]
    sequences: NDArray[np.int64]
    loss: float
    directions: NDArray[np.float32]
    slopes: NDArray[np.float64]

    def run(self, kind: Kind, sizes: Sizes, *lora: NDArray[np.float32]) -> list[NDArray[Any]]:
        """The program in eager mode, at every position of `sequences`."""
        module = program_module(kind, self.decoder, self.layout, sizes).eval()
        with torch.no_grad():
            outputs = module(*self.inputs(), *map(torch.from_numpy, lora))
        return [output.numpy() for output in outputs]

    def inputs(self) -> list[torch.Tensor]:
        """tokens, rows, targets, weights, logit_bias"""
        tokens = torch.from_numpy(self.sequences)
        count = tokens[:, 1:].numel()
        classes = self.decoder.classes
        return [
            tokens[:, :-1].contiguous(),
            torch.arange(count),
            tokens[:, 1:].flatten(),
            torch.full((count,), 1 / count),
            torch.zeros(classes),
        ]


def adapted(
    request: LoraRequest,
    *,
    model_type: str = "llama",
    batch: int = 2,
    length: int = 7,
    directions: int = 3,
    **overrides: Any,
) -> Adapted:
    config = AutoConfig.for_model(model_type, **(SMALL | overrides))
    config._attn_implementation = "eager"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
        for name, values in model.named_parameters():
            if values.dim() == 1:  # norms and biases start as constants, which would hide mistakes
                torch.nn.init.normal_(values, mean=1.0 if "norm" in name else 0.0, std=0.1)
        peft_model = attach_fresh(model, request, seed=0)
        for name, values in peft_model.named_parameters():
            if "lora_B" in name:
                values.normal_(std=0.2)
    layout = layout_of(peft_model, request.alpha)
    generator = np.random.default_rng(0)
    sequences = generator.integers(config.vocab_size, size=(batch, length + 1))
    reference = TorchReference(peft_model, layout, sequences)
    some = generator.standard_normal((directions, layout.parameters)).astype(np.float32)
    loss, slopes, lora = reference.loss(), reference.slopes(some), values_of(peft_model, layout)
    decoder = Decoder(peft_model.unload(), architecture_of(config))
    return Adapted(decoder, layout, lora, sequences, loss, some, slopes)


ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {},
    "bert-gelu-new": {"model_type": "bert", "hidden_act": "gelu_new"},
    "roberta": {"pad_token_id": 1},
    "distilbert": {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2},
    "albert": {"embedding_size": 8, "num_hidden_layers": 3},
    "albert-groups": {"model_type": "albert", "num_hidden_layers": 4, "num_hidden_groups": 2},
}


def write_encoder(
    folder: Path, family: str, classes: int = 3, words: Sequence[str] = "abcdefgh"
) -> Path:
    """`random_encoder` as a Hugging Face folder, with a tokenizer that knows these words."""
    random_encoder(family, classes).save_pretrained(folder)
    ids = {word: index for index, word in enumerate(("[PAD]", "[UNK]", *words))}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return folder


def random_encoder(family: str, classes: int = 3) -> Any:
    """A random sequence classifier, not adapted yet."""
    shapes = {
        "vocab_size": 40,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "initializer_range": 0.3,
        "num_labels": classes,
    }
    fields = dict(ENCODERS[family])
    model_type = fields.pop("model_type", family)
    if model_type == "distilbert":
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
        ):
            shapes.pop(name)
    config = AutoConfig.for_model(model_type, **(shapes | fields))
    config._attn_implementation = "eager"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        for name, values in model.named_parameters():
            if values.dim() == 1:
                is_scale = "norm" in name.lower() and name.endswith("weight")
                torch.nn.init.normal_(values, mean=1.0 if is_scale else 0.0, std=0.2)
    return model
