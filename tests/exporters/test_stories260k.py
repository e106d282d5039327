"""A real pretrained model, from the GGUF in which it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.gguf.export import LoraRequest, export_gguf
from exporters.gguf.llama_engine import LlamaEngine
from exporters.lora.layout import TARGET_MODULES
from exporters.manifest import QUANTIZATIONS, Quantization
from exporters.tokenizer import load_tokenizer

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside."


@pytest.fixture
def stories(shared_data: Path) -> str:
    return str(shared_data / "stories260K" / "stories260K.gguf")


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_quantization(stories: str, quantization: Quantization, tmp_path: Path) -> None:
    bundle = export_gguf(
        stories, tmp_path / "bundle", quantization=quantization,
        lora=LoraRequest(targets=TARGET_MODULES), parity_directions=8,
    )  # fmt: skip
    parity = bundle.manifest.parity
    assert parity is not None and parity.slope_cosine is not None
    exact = quantization == "f32"
    assert parity.relative_loss_difference < (1e-5 if exact else 0.05)
    assert parity.slope_cosine > (0.999 if exact else 0.9)


def test_it_knows_its_stories(stories: str, tmp_path: Path) -> None:
    bundle = export_gguf(
        stories, tmp_path / "bundle", quantization="f32", lora=LoraRequest(), parity_directions=0
    )
    tokens = load_tokenizer(bundle)(STORY, return_tensors="np").input_ids
    with (
        LlamaEngine(bundle.base, tokens=tokens.shape[1]) as engine,
        engine.adapter(bundle.adapter),
    ):
        assert engine.tokenize(STORY) == tokens[0].tolist()
        # An untrained model of 512 tokens has a loss of ln 512 = 6.2.
        assert engine.loss(tokens) < 1.5
