"""Encoder programs compute what transformers and forward-mode differentiation compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exporters.executorch.encoder import Encoder
from exporters.executorch.programs import program_module
from exporters.executorch.sizes import Sizes
from exporters.lora.attach import attach_fresh, layout_of, lora_parameters, values_of
from exporters.lora.layout import parse_peft_name
from exporters.lora.peft_names import peft_name
from exporters.lora.request import LoraRequest
from tests.exporters.executorch.models import ENCODERS, random_encoder

LENGTHS = (6, 3, 1)
TARGETS = torch.tensor([2, 0, 1])


def targets_of(family: str) -> tuple[str, ...]:
    return ("q_lin", "k_lin", "v_lin") if family == "distilbert" else ("query", "key", "value")


@pytest.mark.parametrize("family", ENCODERS)
def test_losses_and_slopes_are_exact(family: str) -> None:
    peft_model: Any = attach_fresh(
        random_encoder(family), LoraRequest(rank=2, targets=targets_of(family)), seed=0
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=generator)
    layout = layout_of(peft_model, 16.0)
    values = values_of(peft_model, layout)
    tokens = torch.randint(3, 40, (3, 6), generator=generator)
    mask = (torch.arange(6) < torch.tensor(LENGTHS)[:, None]).float()
    tokens = torch.where(mask > 0, tokens, peft_model.config.pad_token_id)
    directions = np.random.default_rng(0).standard_normal((4, layout.parameters))
    directions = directions.astype(np.float32)

    parameters = lora_parameters(peft_model)
    saved = {name.replace(".default", "") for name in parameters}
    model_type = peft_model.config.model_type
    assert {peft_name(model_type, tensor) for tensor in layout.tensors} == saved
    keys = {(each.layer, each.module, each.matrix): each for each in layout.tensors}

    def loss_of(flat: torch.Tensor) -> torch.Tensor:
        matrices = {}
        for name in parameters:
            tensor = keys[parse_peft_name(name)]  # type: ignore[index]
            matrices[name] = flat[tensor.slice].view(tensor.shape)
        logits = torch.func.functional_call(
            peft_model, matrices, kwargs={"input_ids": tokens, "attention_mask": mask}
        ).logits
        return torch.nn.functional.cross_entropy(logits, TARGETS)

    flat = torch.from_numpy(values)
    with torch.no_grad():
        expected_loss = loss_of(flat).item()
        expected = [
            torch.func.jvp(loss_of, (flat,), (torch.from_numpy(each),))[1].item()
            for each in directions
        ]

    encoder = Encoder(peft_model.unload())
    weights, bias = torch.full((3,), 1 / 3), torch.zeros(3)
    with torch.no_grad():
        losses, predictions = program_module("loss", encoder, layout, Sizes(3, 6, 3, 2))(
            tokens, mask, TARGETS, weights, bias, torch.stack([flat, flat * 2])
        )
        loss, slopes = program_module("tangent", encoder, layout, Sizes(3, 6, 3, 4))(
            tokens, mask, TARGETS, weights, bias, flat, torch.from_numpy(directions)
        )
    assert losses[0].item() == pytest.approx(expected_loss, rel=1e-5)
    assert losses[1].item() != pytest.approx(expected_loss, rel=1e-3)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert slopes.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max())
    assert predictions.shape == (3,)
