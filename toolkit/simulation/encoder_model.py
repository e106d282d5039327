"""An encoder with LoRA and a classification head as a TorchModel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging as transformers_logging

from exporters.contract import Part
from exporters.lora.request import LoraRequest
from toolkit.protocol.update import Values
from toolkit.simulation.backbone import Backbone, Encoder, linear_modules
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.layout import AdaptedLayout, adapted_layout
from toolkit.simulation.lora_hooks import AdaptedBackbone
from toolkit.simulation.readout import HeadReadout
from toolkit.simulation.torch_model import TorchModel

# The query and value projections, whatever a family calls them.
_QUERY_AND_VALUE = ("query", "value", "q_lin", "v_lin")


class EncoderTuning(Part):
    """What of an encoder is trained.

    Args:
        classes: how many the head tells apart.
        layers: `all`, `last:N`, `A-B` (inclusive, counted from 0) or `none`: the head alone.
        targets: linear modules by their names in a layer, or the ends of those names after a
            dot, e.g. `query` or `output.dense`; None: the query and value projections.
        head_scale: the standard deviation of the head's first weights; its bias begins at 0.
        seed: of LoRA's A and the head's weights.
    """

    classes: PositiveInt
    rank: PositiveInt = 4
    alpha: PositiveFloat = 8.0
    layers: str = "all"
    targets: tuple[str, ...] | None = None
    head_scale: NonNegativeFloat = 0.0
    seed: NonNegativeInt = 0


def load_encoder(
    folder: Path, tuning: EncoderTuning, dtype: torch.dtype = torch.float32
) -> TorchModel:
    """Loads a Hugging Face encoder folder in `dtype`.

    Raises:
        SimulationError: the folder holds no model, or it has no such linear modules.
        ExportError: `layers` cannot be read or does not fit the model.
        UnsupportedModelError: another family than BERT, RoBERTa, DistilBERT, ALBERT.
    """
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=dtype)
    except (OSError, ValueError) as error:
        raise SimulationError(
            f"cannot load an encoder: {str(error).splitlines()[0]}",
            remedy="give a folder that transformers' save_pretrained wrote",
            file=folder,
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    return encoder_model(model, tuning)


def encoder_model(model: PreTrainedModel, tuning: EncoderTuning) -> TorchModel:
    """Freezes a loaded encoder, which must have been loaded with eager attention, and adapts it.

    Raises:
        SimulationError, ExportError, UnsupportedModelError: see `load_encoder`.
    """
    if model.config._attn_implementation != "eager":
        raise SimulationError("the model must be loaded with attn_implementation='eager'")
    model.requires_grad_(False).eval()
    backbone = Encoder(model)
    layout = adapted_layout(
        _adapted_modules(backbone, tuning),
        rank=tuning.rank,
        alpha=tuning.alpha,
        layers=backbone.depth,
        features=backbone.width,
        classes=tuning.classes,
    )
    matrices = [tensor for tensor in layout.tensors if tensor.matrix != "head"]
    return TorchModel(
        AdaptedBackbone(backbone, matrices, layout.alpha / layout.rank),
        HeadReadout(layout.head, tuning.classes, backbone.width),
        layout,
        initial_values(layout, tuning.seed, tuning.head_scale),
        model.dtype,
    )


def initial_values(layout: AdaptedLayout, seed: int, head_scale: float) -> Values:
    """float32 [parameters]: A uniform within ±1/√inputs as PEFT draws it, B zero.

    PEFT's Kaiming uniform has a = √5, which makes that bound.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    values = np.zeros(layout.parameters, dtype=np.float32)
    for tensor in layout.tensors:
        if tensor.matrix == "A":
            bound = tensor.shape[1] ** -0.5
            values[tensor.slice] = generator.uniform(-bound, bound, tensor.size)
        elif tensor.matrix == "head" and len(tensor.shape) == 2:
            values[tensor.slice] = head_scale * generator.standard_normal(tensor.size)
    return values


def _adapted_modules(backbone: Backbone, tuning: EncoderTuning) -> list[tuple[int, str, int, int]]:
    """(layer, module, inputs, outputs) in the order of the flat vector."""
    if tuning.layers == "none":
        return []
    targets = tuning.targets or _QUERY_AND_VALUE
    chosen = []
    for layer in LoraRequest(layers=tuning.layers).chosen_layers(backbone.depth):
        modules = linear_modules(backbone.layer(layer))
        matched = {
            target: [name for name in modules if f".{name}".endswith(f".{target}")]
            for target in targets
        }
        missing = [target for target, names in matched.items() if not names]
        if tuning.targets is None and len(missing) == len(targets):
            missing = ["query and value"]
        elif tuning.targets is None:
            missing = []
        if missing:
            raise SimulationError(
                f"layer {layer} has no linear module {', '.join(missing)}",
                remedy=f"choose from {', '.join(modules)}",
            )
        wanted = {name for names in matched.values() for name in names}
        chosen += [
            (layer, name, module.in_features, module.out_features)
            for name, module in modules.items()
            if name in wanted
        ]
    return chosen
