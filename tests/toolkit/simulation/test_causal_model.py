"""LLaMA-class models: the same numbers as the merged model and the export's reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from android_harness.examples import NO_LOSS, Example
from android_harness.job import Loss, VerbalizerLoss, VocabularyLoss
from exporters.lora.attach import attach_fresh, values_of
from exporters.lora.directions import direction
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from exporters.model_source import find_model
from exporters.torch_reference import TorchReference
from tests.exporters.models import FAMILIES, random_llama
from toolkit.simulation.causal_model import load_bundle, load_causal
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.token_store import TokenStore

LABELS = (40, 7, 111)
SEEDS = (3, 4, 5, 6, 7)


def examples_for(loss: Loss, count: int = 5) -> list[Example]:
    generator = np.random.default_rng(0)
    examples = []
    for _ in range(count):
        tokens = generator.integers(3, 300, generator.integers(4, 12)).tolist()
        if isinstance(loss, VerbalizerLoss):
            targets = [NO_LOSS] * (len(tokens) - 1) + [int(generator.choice(LABELS))]
        else:
            targets = [NO_LOSS, *tokens[2:], NO_LOSS]
        examples.append(Example(tuple(tokens), tuple(targets)))
    return examples


class MergedModel:
    """The bundle's source model in float64 with LoRA merged into its weights."""

    def __init__(self, bundle: Bundle, loss: Loss) -> None:
        self._bundle = bundle
        self._loss = loss

    def losses(
        self, values: np.ndarray, examples: Sequence[Example]
    ) -> tuple[list[float], list[int]]:
        """The loss of every target and, under a verbalizer, the predicted token."""
        layout = self._bundle.manifest.lora
        model = AutoModelForCausalLM.from_pretrained(self._bundle.manifest.source).double().eval()
        matrices = {
            (t.layer, t.module, t.matrix): torch.from_numpy(matrix).double()
            for t, matrix in layout.unflatten(values).items()
        }
        losses, predictions = [], []
        with torch.no_grad():
            for (layer, module, matrix), b in matrices.items():
                if matrix == "B":
                    linear = getattr(model.model.layers[layer].self_attn, module)
                    linear.weight += layout.alpha / layout.rank * b @ matrices[layer, module, "A"]
            for example in examples:
                logits = model(input_ids=torch.tensor([example.tokens])).logits[0]
                for row, target in zip(logits, example.targets, strict=True):
                    if target == NO_LOSS:
                        continue
                    chosen = range(len(row))
                    if isinstance(self._loss, VerbalizerLoss):
                        chosen = self._loss.tokens
                        predictions.append(chosen[int(row[list(chosen)].argmax())])
                    scores = torch.log_softmax(row[list(chosen)], -1)
                    losses.append(-float(scores[list(chosen).index(target)]))
        return losses, predictions


@pytest.mark.parametrize("loss", [VocabularyLoss(), VerbalizerLoss(tokens=LABELS)])
def test_it_measures_what_the_merged_model_gives(bundle: Bundle, loss: Loss) -> None:
    examples = examples_for(loss)
    merged = MergedModel(bundle, loss)
    model = load_bundle(bundle, loss)
    prepared = model.prepare(TokenStore.of_examples(examples))
    values = model.initial + np.float32(0.1) * direction(1, model.parameters, "gaussian")

    evaluated = model.evaluate(values, prepared, batch_size=2)
    losses, predictions = merged.losses(values, examples)
    assert evaluated.loss == pytest.approx(np.mean(losses), rel=1e-6)
    if isinstance(loss, VerbalizerLoss):
        assert [LABELS[number] for number in evaluated.predictions] == predictions
        targets = [example.target_ids[0] for example in examples]
        assert evaluated.accuracy == np.mean(np.array(predictions) == targets)
    else:
        assert evaluated.accuracy is None
        assert not len(evaluated.predictions)

    lines, step = (4, 1, 2), np.float32(0.02)
    directions = np.stack([direction(seed, model.parameters) for seed in SEEDS])
    slopes = model.slopes(
        values,
        prepared.batch(lines),
        directions,
        estimator="central",
        epsilon=float(step),
        directions_per_pass=2,
    )
    for v, slope in zip(directions, slopes.values, strict=True):
        plus, minus = (
            np.mean(merged.losses(values + sign * step * v, [examples[line] for line in lines])[0])
            for sign in (1, -1)
        )
        assert slope == pytest.approx((plus - minus) / 0.04, abs=1e-6 / 0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_tangents_are_those_of_the_export_reference(family: str, tmp_path: Path) -> None:
    folder = str(random_llama(tmp_path / "model", **FAMILIES[family]))
    request = LoraRequest(rank=2, alpha=4, targets=("q_proj", "o_proj", "down_proj"), layers="1-1")
    model = load_causal(folder, request, VocabularyLoss(), seed=3)
    adapted = attach_fresh(find_model(folder).load_model(), request, seed=3)
    tokens = np.random.default_rng(0).integers(3, 300, (3, 9))
    reference = TorchReference(adapted, model.layout, tokens)

    assert np.array_equal(model.initial, values_of(adapted, model.layout))
    assert model.first_layer == 1
    store = TokenStore.of_examples([Example(tuple(r[:-1]), tuple(r[1:])) for r in tokens.tolist()])
    batch = model.prepare(store).batch(range(3))
    assert model.losses(model.initial[None], batch)[0] == pytest.approx(reference.loss(), rel=1e-5)
    directions = np.stack([direction(seed, model.parameters) for seed in SEEDS])
    expected = reference.slopes(directions)
    for by in ("jvp", "reverse"):
        slopes = model.slopes(
            model.initial, batch, directions, estimator="tangent", directions_per_pass=2, by=by
        )
        assert np.linalg.norm(slopes.values - expected) < 1e-4 * np.linalg.norm(expected)


def test_its_frozen_layers_are_cached(tmp_path: Path) -> None:
    """Values of the same LoRA on the last layer alone and among all layers, the others' B zero."""
    folder = str(random_llama(tmp_path / "model"))
    last, whole = (
        load_causal(folder, LoraRequest(rank=2, alpha=4, layers=layers), VocabularyLoss())
        for layers in ("last:1", "all")
    )
    assert (last.first_layer, whole.first_layer) == (1, 0)
    store = TokenStore.of_examples(examples_for(VocabularyLoss()))
    values = np.zeros(whole.parameters, dtype=np.float32)
    values[-last.parameters :] = direction(1, last.parameters, "gaussian") * np.float32(0.2)
    losses = [
        model.losses(chosen[None], model.prepare(store).batch((0, 3)))[0]
        for model, chosen in ((last, values[-last.parameters :]), (whole, values))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_low_precision_checkpoints_compute_in_float32(tmp_path: Path) -> None:
    folder = str(random_llama(tmp_path / "model", dtype=torch.bfloat16))
    model = load_causal(folder, LoraRequest(rank=2, alpha=4), VocabularyLoss())
    batch = model.prepare(TokenStore.of_examples(examples_for(VocabularyLoss()))).batch((0,))
    assert batch.states.dtype == torch.float32
    exact = load_causal(folder, LoraRequest(rank=2, alpha=4), VocabularyLoss(), dtype=torch.float64)
    wide = exact.prepare(TokenStore.of_examples(examples_for(VocabularyLoss()))).batch((0,))
    assert model.losses(model.initial[None], batch) == pytest.approx(
        exact.losses(exact.initial[None], wide), rel=1e-5
    )


def test_examples_that_do_not_suit_the_loss_are_refused(bundle: Bundle) -> None:
    model = load_bundle(bundle, VerbalizerLoss(tokens=LABELS))
    foreign = TokenStore.of_examples([Example((5, 6), (NO_LOSS, 8)), Example((5,), (NO_LOSS,))])
    with pytest.raises(SimulationError, match="target 8"):
        model.prepare(foreign).batch((0,))
    with pytest.raises(SimulationError, match="no example of the batch has a target"):
        model.prepare(foreign).batch((1,))
    with pytest.raises(SimulationError, match="head"):
        batch = model.prepare(TokenStore.of_examples(examples_for(VerbalizerLoss(tokens=LABELS))))
        model.head_gradient(model.initial, batch.batch((0,)))
