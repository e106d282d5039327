"""Peak memory, measured in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from toolkit.simulation.encoder_model import EncoderTuning
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.memory import MemorySetting, measure_memory

# Far more weights than states, so that copies of the weights stand out.
WEIGHT_BYTES = 4 * 64 * 80_000


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> MemorySetting:
    folder = tmp_path_factory.mktemp("encoder")
    with torch.random.fork_rng(devices=[]):
        config = BertConfig(
            vocab_size=WEIGHT_BYTES // (4 * 64),
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
        )
        BertModel(config).save_pretrained(folder)
    return MemorySetting(
        folder=folder, tuning=EncoderTuning(classes=2, layers="last:1"), batch=2, tokens=8
    )


def test_ordinary_fine_tuning_needs_copies_of_the_weights(setting: MemorySetting) -> None:
    rows = measure_memory(setting, ("tangent-1", "reverse-full-adam"))
    assert [row.method for row in rows] == ["tangent-1", "reverse-full-adam"]
    tangent, full = rows
    for row in rows:
        assert row.loaded > WEIGHT_BYTES
        assert row.step == row.peak - row.loaded >= 0
    # Gradients and Adam's two moments against a few states.
    assert full.step > 2.5 * WEIGHT_BYTES
    assert tangent.step < 0.5 * WEIGHT_BYTES


def test_a_failed_measurement_says_why(setting: MemorySetting, tmp_path: Path) -> None:
    missing = setting.model_copy(update={"folder": tmp_path / "absent"})
    with pytest.raises(SimulationError, match=r"measuring exact-head failed.*absent"):
        measure_memory(missing, ("exact-head",))
