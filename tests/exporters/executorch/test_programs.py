"""The programs' modules compute what transformers and forward-mode differentiation compute."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.executorch.programs import program_module
from exporters.executorch.sizes import Sizes
from exporters.lora.layout import TARGET_MODULES
from exporters.lora.request import LoraRequest
from tests.exporters.executorch.models import Adapted, adapted
from tests.exporters.models import FAMILIES


def check(case: Adapted) -> None:
    batch, length = case.sequences.shape[0], case.sequences.shape[1] - 1
    sizes = Sizes(batch, length, batch * length, len(case.directions))
    slots = case.values + np.float32(0) * case.directions
    losses, _ = case.run("loss", sizes, slots)
    assert losses == pytest.approx(np.full(len(losses), case.loss), rel=1e-5)
    loss, slopes = case.run("tangent", sizes, case.values, case.directions)
    assert loss == pytest.approx([case.loss], rel=1e-5)
    scale = np.abs(case.slopes).max()
    assert slopes == pytest.approx(case.slopes, rel=1e-3, abs=1e-4 * scale)


def overrides_of(family: str) -> dict[str, Any]:
    not_shapes = {"tokenizer", "num_key_value_heads"}
    return {key: value for key, value in FAMILIES[family].items() if key not in not_shapes}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_exact(family: str) -> None:
    check(adapted(LoraRequest(rank=2, targets=TARGET_MODULES), **overrides_of(family)))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_shapes_and_adapted_modules_are_exact(data: st.DataObject) -> None:
    draw = data.draw
    layers = draw(st.integers(1, 3), label="layers")
    first = draw(st.integers(0, layers - 1), label="first adapted layer")
    last = draw(st.integers(first, layers - 1), label="last adapted layer")
    key_value_heads = draw(st.integers(1, 2), label="key-value heads")
    heads = key_value_heads * draw(st.integers(1, 3), label="heads in a group")
    targets = draw(st.lists(st.sampled_from(TARGET_MODULES), min_size=1, unique=True))
    request = LoraRequest(
        rank=draw(st.integers(1, 3)), targets=tuple(targets), layers=f"{first}-{last}"
    )
    check(
        adapted(
            request,
            batch=draw(st.integers(1, 3), label="batch"),
            length=draw(st.integers(1, 6), label="length"),
            directions=draw(st.integers(1, 4), label="directions"),
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_value_heads,
            hidden_size=8 * heads,
            head_dim=draw(st.sampled_from([4, 8]), label="head size"),
        )
    )


@pytest.fixture(scope="module")
def case() -> Adapted:
    return adapted(LoraRequest(rank=2))


def test_slots_are_independent_copies(case: Adapted) -> None:
    """The losses of moved LoRA differ; their central differences are the tangent's slopes."""
    sizes = Sizes(2, 7, 14, 2 * len(case.directions))
    step = np.float32(1e-2) * case.directions / np.abs(case.slopes).max().astype(np.float32)
    moved = np.concatenate([case.values + step, case.values - step])
    losses, _ = case.run("loss", sizes, moved)
    half = len(losses) // 2
    exact = case.slopes * 1e-2 / np.abs(case.slopes).max()
    assert (losses[:half] - losses[half:]) / 2 == pytest.approx(exact, rel=0.05, abs=3e-4)


def test_predictions_are_the_first_slots_most_likely_tokens(case: Adapted) -> None:
    slots = np.stack([case.values, case.values + 1])
    _, predictions = case.run("loss", Sizes(2, 7, 14, 2), slots)
    _, alone = case.run("loss", Sizes(2, 7, 14, 1), case.values[None])
    assert predictions.tolist() == alone.tolist()
    assert predictions.shape == (14,)


def test_parts_of_a_batch_add_up_to_its_mean(case: Adapted) -> None:
    """Positions in two runs, the second partly unused."""
    tokens, rows, targets, weights, bias = case.inputs()
    module = program_module("tangent", case.decoder, case.layout, Sizes(2, 7, 8, 3)).eval()
    lora = (torch.from_numpy(case.values), torch.from_numpy(case.directions))
    total = torch.zeros(1 + 3)
    for start in (0, 8):
        padded = [torch.zeros(8, dtype=each.dtype) for each in (rows, targets, weights)]
        for full, part in zip((rows, targets, weights), padded, strict=True):
            some = full[start : start + 8]
            part[: len(some)] = some
        with torch.no_grad():
            total += torch.cat(module(tokens, *padded, bias, *lora))
    assert total[0].item() == pytest.approx(case.loss, rel=1e-5)
    assert total[1:].numpy() == pytest.approx(case.slopes, rel=1e-3)


def test_padding_on_the_right_changes_nothing(case: Adapted) -> None:
    tokens, rows, *rest = case.inputs()
    longer = torch.nn.functional.pad(tokens, (0, 3), value=5)
    moved = rows // 7 * 10 + rows % 7
    module = program_module("loss", case.decoder, case.layout, Sizes(2, 10, 14, 1)).eval()
    with torch.no_grad():
        losses, _ = module(longer, moved, *rest, torch.from_numpy(case.values[None]))
    assert losses.item() == pytest.approx(case.loss, rel=1e-5)


def test_a_bias_restricts_the_classes(case: Adapted) -> None:
    """As the verbalizer's loss: cross entropy over the labels' tokens alone."""
    tokens, rows, _, weights, _ = case.inputs()
    labels = torch.tensor([3, 11, 20])
    shifts = torch.tensor([0.5, -0.25, 0.0])
    bias = torch.full((case.decoder.classes,), -1e9)
    bias[labels] = shifts
    targets = labels[torch.arange(14) % 3]
    lora = torch.from_numpy(case.values[None])
    module = program_module("loss", case.decoder, case.layout, Sizes(2, 7, 14, 1)).eval()
    with torch.no_grad():
        losses, predictions = module(tokens, rows, targets, weights, bias, lora)
        # Cross entropies against each label recover the restricted logits up to a constant.
        free = torch.stack(
            [
                module(
                    tokens, rows, torch.full((14,), int(label)),
                    torch.eye(14)[position], torch.zeros_like(bias), lora,
                )[0][0]
                for position in range(14)
                for label in labels
            ]
        ).view(14, 3)  # fmt: skip
    expected = torch.nn.functional.cross_entropy(shifts - free, torch.arange(14) % 3)
    assert losses.item() == pytest.approx(expected.item(), rel=1e-4)
    assert set(predictions.tolist()) <= set(labels.tolist())


def test_improbable_targets_have_finite_losses_and_slopes(case: Adapted) -> None:
    tokens, rows, targets, weights, bias = case.inputs()
    bias = bias.clone()
    bias[0] = 500.0  # every probability but the first class's underflows
    lora, directions = torch.from_numpy(case.values), torch.from_numpy(case.directions)
    targets = torch.full_like(targets, 1)
    with torch.no_grad():
        losses, _ = program_module("loss", case.decoder, case.layout, Sizes(2, 7, 14, 1))(
            tokens, rows, targets, weights, bias, lora[None]
        )
        _, slopes = program_module("tangent", case.decoder, case.layout, Sizes(2, 7, 14, 3))(
            tokens, rows, targets, weights, bias, lora, directions
        )
    assert 400 < losses.item() < 600
    assert torch.isfinite(slopes).all()


def test_weights_are_shared_with_the_model(case: Adapted) -> None:
    first, second = (
        program_module("loss", case.decoder, case.layout, Sizes(1, 4, 1, k)) for k in (1, 2)
    )
    kept = copy.copy(dict(case.decoder.named_parameters()))
    for module in (first, second):
        inside = dict(module.named_parameters())
        assert all(inside[f"model.{name}"] is value for name, value in kept.items())
