"""LoRA on a loaded PyTorch model, by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from exporters.errors import ExportError
from exporters.lora.layout import LoraLayout, parse_peft_name
from exporters.lora.peft_adapter import PeftAdapter
from exporters.lora.request import LoraRequest


def attach_lora(
    model: PreTrainedModel, request: LoraRequest, saved: PeftAdapter | None, seed: int
) -> tuple[PeftModel, LoraLayout, NDArray[np.float32]]:
    """Adds the LoRA that was asked for; its layout and values, float32 [parameters].

    Args:
        saved: what `read_peft_adapter` has read of `request.peft_folder`; None: a fresh one.
        seed: of a fresh one's A matrices.

    Raises:
        ExportError: as `attach_saved`.
    """
    if saved is not None:
        return attach_saved(model, request, saved), saved.layout, saved.values
    peft_model = attach_fresh(model, request, seed)
    layout = layout_of(peft_model, request.alpha)
    return peft_model, layout, values_of(peft_model, layout)


def attach_fresh(model: PreTrainedModel, request: LoraRequest, seed: int) -> PeftModel:
    """Adds a new LoRA as PEFT initializes it: A Kaiming-uniform from `seed`, B zero."""
    config = LoraConfig(
        r=request.rank,
        lora_alpha=request.alpha,  # type: ignore[arg-type]  # PEFT takes any number
        target_modules=list(request.targets),
        # None is all, also where layers share their weights and PEFT sees fewer than there are.
        layers_to_transform=None
        if request.layers == "all"
        else request.chosen_layers(model.config.num_hidden_layers),
    )
    with torch.random.fork_rng(devices=[]), _without_warnings():
        torch.manual_seed(seed)
        return get_peft_model(model, config).eval()


def attach_saved(model: PreTrainedModel, request: LoraRequest, adapter: PeftAdapter) -> PeftModel:
    """Adds the LoRA of `request.peft_folder`, which `read_peft_adapter` has read as `adapter`.

    Raises:
        ExportError: PEFT makes other matrices of the folder than its tensor file holds.
    """
    assert request.peft_folder is not None
    with _without_warnings():
        peft_model = PeftModel.from_pretrained(model, str(request.peft_folder)).eval()
    names = {match for name in lora_parameters(peft_model) if (match := parse_peft_name(name))}
    if names != {(t.layer, t.module, t.matrix) for t in adapter.layout.tensors}:
        raise ExportError(
            "the adapter's tensors are not those that its configuration targets",
            file=request.peft_folder,
        )
    return peft_model


def lora_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The LoRA matrices of a PEFT model, or of a part of one, by name."""
    return {name: value for name, value in model.named_parameters() if parse_peft_name(name)}


def layout_of(model: PeftModel, alpha: float) -> LoraLayout:
    """The layout of the LoRA attached to a model."""
    shapes = {}
    for name, value in lora_parameters(model).items():
        key = parse_peft_name(name)
        assert key is not None
        shapes[key] = (value.shape[0], value.shape[1])
    rank = next(shape[0] for (_, _, matrix), shape in shapes.items() if matrix == "A")
    return LoraLayout.from_shapes(shapes, rank=rank, alpha=alpha)


def values_of(model: PeftModel, layout: LoraLayout) -> NDArray[np.float32]:
    """The flat vector, float32 [parameters], of the LoRA attached to a model."""
    return layout.flatten(
        {name: value.detach().float().numpy() for name, value in lora_parameters(model).items()}
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
