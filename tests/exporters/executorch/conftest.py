"""Bundles of one small model, each made once: lowering takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle, Quantization
from tests.exporters.models import random_llama

LORA = LoraRequest(rank=2, alpha=4.0)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer, wide enough for groups of 32."""
    return random_llama(
        tmp_path_factory.mktemp("models") / "llama",
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )


def export(
    model: Path, folder: Path, quantization: Quantization, programs: ProgramRequest
) -> Bundle:
    return export_executorch(
        str(model),
        folder,
        lora=LORA,
        programs=programs,
        quantization=quantization,
        parity_directions=4,
    )


@pytest.fixture(scope="session")
def f32_bundle(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two lengths of both kinds."""
    programs = ProgramRequest(((2, 8), (1, 4)), loss_slots=(2,), tangent_slots=(3,))
    return export(model_folder, tmp_path_factory.mktemp("bundles") / "f32", "f32", programs)


@pytest.fixture(scope="session", params=["int8", "8da4w"])
def quantized_bundle(
    request: pytest.FixtureRequest, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    programs = ProgramRequest(((2, 8),), loss_slots=(1,), tangent_slots=(3,))
    folder = tmp_path_factory.mktemp("bundles") / request.param
    return export(model_folder, folder, request.param, programs)
