"""Random encoders of every supported family, small enough to make in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

from toolkit.simulation.encoder_model import EncoderTuning, encoder_model
from toolkit.simulation.token_store import TokenStore
from toolkit.simulation.torch_model import TorchModel

VOCABULARY_SIZE = 90
CLASSES = 3
_SHAPES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": _SHAPES,
    "roberta": _SHAPES,
    "albert": _SHAPES | {"embedding_size": 8},
    "distilbert": {"dim": 16, "hidden_dim": 24, "n_layers": 3, "n_heads": 4},
}


def random_encoder(family: str = "bert", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A random model with eager attention and dropout that only evaluation mode turns off."""
    config = AutoConfig.for_model(
        family,
        vocab_size=VOCABULARY_SIZE,
        max_position_embeddings=40,
        initializer_range=0.25,
        pad_token_id=0,
        **FAMILIES[family],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config, attn_implementation="eager")
        for name, values in model.named_parameters():
            if values.dim() == 1:  # norms and biases start as constants, which would hide mistakes
                offset = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
                torch.nn.init.normal_(values, mean=offset, std=0.1)
    return model.to(dtype)


def tuned(family: str = "bert", dtype: torch.dtype = torch.float32, **tuning: Any) -> TorchModel:
    """A random encoder with LoRA of rank 2 on query and value, and a head that is not 0."""
    settings = {"classes": CLASSES, "rank": 2, "head_scale": 0.5} | tuning
    return encoder_model(random_encoder(family, dtype), EncoderTuning(**settings))


def some_values(model: TorchModel, seed: int = 0) -> np.ndarray:
    """The initial values with a B that is not 0, float32."""
    noise = np.random.default_rng(seed).standard_normal(model.parameters)
    return (model.initial + 0.1 * noise).astype(np.float32)


def labelled_store(lengths: tuple[int, ...] = (5, 9, 3, 12, 7, 9), seed: int = 0) -> TokenStore:
    generator = np.random.default_rng(seed)
    sequences = [generator.integers(4, VOCABULARY_SIZE, length).tolist() for length in lengths]
    return TokenStore.labelled(sequences, generator.integers(0, CLASSES, len(lengths)).tolist())
