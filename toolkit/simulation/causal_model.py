"""A LLaMA-class causal model with LoRA as a TorchModel.

The flat vector has the order of `LoraLayout`, so values, directions and updates are the native
runner's, number for number.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from android_harness.job import Loss
from exporters.adapter_values import adapter_values
from exporters.lora.attach import attach_fresh, layout_of, values_of
from exporters.lora.layout import LoraLayout
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from exporters.model_source import find_model
from toolkit.protocol.update import Values
from toolkit.simulation.backbone import CausalDecoder
from toolkit.simulation.lora_hooks import AdaptedBackbone
from toolkit.simulation.readout import CausalReadout
from toolkit.simulation.torch_model import TorchModel


def load_bundle(bundle: Bundle, loss: Loss, dtype: torch.dtype = torch.float32) -> TorchModel:
    """The bundle's source model, not quantized, with the bundle's LoRA.

    Raises:
        ExportError: the source model cannot be loaded any more.
        ContractError: the adapter is not the manifest's.
    """
    manifest = bundle.manifest
    values = adapter_values(bundle)
    model = find_model(manifest.source).load_model()
    return causal_model(model, manifest.lora, values, loss, dtype)


def load_causal(
    source: str, lora: LoraRequest, loss: Loss, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> TorchModel:
    """A model folder, GGUF file or hub id with a fresh LoRA, as PEFT makes it from `seed`.

    Raises:
        ExportError: the model cannot be loaded, or the LoRA does not fit it.
    """
    found = find_model(source)
    lora.check_fresh(found.architecture.layers)
    adapted = attach_fresh(found.load_model(), lora, seed)
    layout = layout_of(adapted, lora.alpha)
    values = values_of(adapted, layout)
    plain: Any = adapted.unload()
    return causal_model(plain, layout, values, loss, dtype)


def causal_model(
    model: PreTrainedModel, layout: LoraLayout, values: Values, loss: Loss, dtype: torch.dtype
) -> TorchModel:
    """Freezes a loaded model with eager attention and adapts it; computes in `dtype`."""
    model.requires_grad_(False).eval().to(dtype)
    output: Any = model.get_output_embeddings()
    return TorchModel(
        AdaptedBackbone(CausalDecoder(model), layout.tensors, layout.alpha / layout.rank),
        CausalReadout(output, loss),
        layout,
        values,
        dtype,
    )
