"""An encoder classifier in a Hugging Face folder or on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from exporters.errors import ExportError
from exporters.manifest import Architecture
from exporters.model_source import loading

ENCODER_FAMILIES = ("bert", "roberta", "distilbert", "albert")
# Weights of other heads than the classifier's, and a classifier that a checkpoint may lack.
_HEADS = ("classifier", "pre_classifier", "pooler", "cls.", "lm_head", "predictions", "vocab_")


@dataclass(frozen=True)
class EncoderSource:
    """An encoder that was found and accepted; its weights are not loaded yet."""

    name: str
    config: PretrainedConfig
    architecture: Architecture

    def load_model(self, seed: int) -> PreTrainedModel:
        """The classifier in float32, on the CPU, in evaluation mode.

        Args:
            seed: of the weights of a head that the checkpoint lacks.

        Raises:
            ExportError: weights are missing, malformed, or not all used by the model.
        """
        with loading(self.name, "the model's weights"), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                self.name,
                config=self.config,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
            )
        model, report = loaded
        for problem, keys in (
            ("lacks", _but_heads(report["missing_keys"])),
            ("has unknown", _but_heads(report["unexpected_keys"])),
            ("has misshapen", _but_heads(report["mismatched_keys"])),
        ):
            if keys:
                raise ExportError(f"the checkpoint of {self.name} {problem} weights: {keys[:3]}")
        return model.eval()

    def load_tokenizer(self) -> PreTrainedTokenizerFast:
        """Raises ExportError: there is none, or it is not of the `tokenizers` library."""
        with loading(self.name, "the tokenizer"):
            tokenizer: Any = AutoTokenizer.from_pretrained(self.name)
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ExportError(
                f"the tokenizer of {self.name} ({type(tokenizer).__name__}) has no tokenizer.json",
                remedy="convert it with transformers and save it beside the model",
            )
        return tokenizer


def is_encoder(model: str) -> bool:
    """Whether MODEL is one of the four families, by its configuration.

    Raises:
        ExportError: the configuration cannot be read.
    """
    if Path(model).is_file() or model.endswith(".gguf"):
        return False
    if Path(model).is_dir() and not (Path(model) / "config.json").is_file():
        return False
    with loading(model, "the model's configuration"):
        return PretrainedConfig.get_config_dict(model)[0].get("model_type") in ENCODER_FAMILIES


def find_encoder(model: str, classes: int | None) -> EncoderSource:
    """Reads the configuration of MODEL, not its weights.

    Args:
        classes: of the head; None takes the checkpoint's.

    Raises:
        ExportError: the checkpoint has no classes, or its configuration cannot be read.
    """
    with loading(model, "the model's configuration"):
        config: Any = AutoConfig.from_pretrained(model)
    is_classifier = any(
        name.endswith("ForSequenceClassification") for name in config.architectures or ()
    )
    if classes is None and not is_classifier:
        raise ExportError(
            f"{model} has no classification head",
            remedy="say with --classes how many classes a new one has",
        )
    if classes is not None:
        config.num_labels = classes
    heads = config.num_attention_heads
    # RoBERTa's positions count from behind the padding token's id.
    first = config.pad_token_id + 1 if config.model_type == "roberta" else 0
    architecture = Architecture(
        family=config.model_type,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        feed_forward_size=getattr(config, "intermediate_size", None) or config.hidden_dim,
        heads=heads,
        key_value_heads=heads,
        head_size=config.hidden_size // heads,
        vocabulary_size=config.vocab_size,
        context_length=config.max_position_embeddings - first,
        rope_theta=None,
        rope_scaling=None,
        rms_norm_epsilon=getattr(config, "layer_norm_eps", 1e-12),
        tied_embeddings=False,
        attention_bias=True,
        classes=config.num_labels,
    )
    return EncoderSource(model, config, architecture)


def _but_heads(keys: Any) -> list[str]:
    names = (str(key[0] if isinstance(key, tuple) else key) for key in keys)
    return sorted(
        name
        for name in names
        if not any(head in name for head in _HEADS) and not name.endswith("position_ids")
    )
