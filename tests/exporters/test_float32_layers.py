"""A half-precision model computes in float32, layer by layer, and stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from exporters.float32_layers import float32_layers
from exporters.lora.attach import attach_fresh, layout_of, lora_parameters
from exporters.lora.directions import direction
from exporters.lora.request import LoraRequest
from exporters.torch_reference import TorchReference
from tests.exporters.models import random_llama

TOKENS = np.random.default_rng(0).integers(300, size=(2, 17))


def loaded(folder: Path, dtype: torch.dtype) -> PeftModel:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return attach_fresh(model, LoraRequest(rank=4), seed=0)


def test_half_precision_weights_give_float32_numbers(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", dtype=torch.bfloat16)
    half, single = loaded(folder, torch.bfloat16), loaded(folder, torch.float32)
    # PEFT draws a fresh A in the checkpoint's precision.
    adapted = lora_parameters(half)
    for name, parameter in lora_parameters(single).items():
        parameter.data = adapted[name].data.clone()
    layout = layout_of(half, 16.0)
    of_half, of_single = (TorchReference(model, layout, TOKENS) for model in (half, single))
    assert of_half.loss() == pytest.approx(of_single.loss(), rel=1e-6)
    some = np.stack([direction(seed, layout.parameters) for seed in range(3)])
    assert of_half.slopes(some) == pytest.approx(of_single.slopes(some), rel=1e-4)


def test_slopes_are_the_losss_derivatives(llama_folder: Path) -> None:
    peft_model = loaded(llama_folder, torch.float32)
    layout = layout_of(peft_model, 16.0)
    reference = TorchReference(peft_model, layout, TOKENS)
    some = np.stack([direction(seed, layout.parameters) for seed in range(3)])
    inputs = torch.from_numpy(TOKENS)
    peft_model(input_ids=inputs, labels=inputs).loss.backward()
    gradient = layout.flatten(
        {
            name: parameter.grad.numpy()
            for name, parameter in peft_model.named_parameters()
            if parameter.grad is not None
        }
    )
    assert reference.slopes(some) == pytest.approx(some @ gradient, rel=1e-4)


def test_weights_are_the_same_objects_afterwards_even_after_a_failure(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", dtype=torch.bfloat16)
    backbone = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).model
    before = dict(backbone.named_parameters())

    def fail(*_: object) -> None:
        assert backbone.layers[1].mlp.up_proj.weight.dtype == torch.float32
        assert backbone.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
        raise RuntimeError("stop here")

    backbone.layers[1].mlp.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="stop here"), float32_layers(backbone):
        backbone(input_ids=torch.arange(4)[None])
    after = dict(backbone.named_parameters())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
