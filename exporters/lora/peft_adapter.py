"""PEFT adapter folders: what `peft` saves and loads."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft import LoraConfig, TaskType
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import load_file

from exporters.durable_files import replaced_atomically, write_atomically
from exporters.errors import ExportError
from exporters.lora.layout import ENCODER_MODULES, TARGET_MODULES, LoraLayout, parse_peft_name
from exporters.lora.peft_names import module_name, peft_name
from exporters.manifest import Architecture, Manifest

_CONFIG_NAME = "adapter_config.json"
_WEIGHTS_NAME = "adapter_model.safetensors"
# Settings under which an adapter is more than B·A on linear layers of the blocks.
_REFUSED_SETTINGS = {
    "use_dora": "DoRA",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "modules_to_save": "fully trained modules (modules_to_save)",
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "LoRA on bare parameters",
    "layer_replication": "layer replication",
    "rank_pattern": "a rank per module (rank_pattern)",
    "alpha_pattern": "an alpha per module (alpha_pattern)",
    "lora_bias": "LoRA biases",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "velora_config": "VeLoRA",
}


@dataclass(frozen=True)
class PeftAdapter:
    """An adapter's values: float32 [layout.parameters]."""

    layout: LoraLayout
    values: NDArray[np.float32]


def read_peft_adapter(folder: Path, architecture: Architecture) -> PeftAdapter:
    """Reads a PEFT LoRA folder for a model of this architecture.

    Rank-stabilized LoRA scales by alpha / sqrt(rank); the layout's alpha then holds
    alpha · sqrt(rank), so that alpha / rank is the same factor.

    Raises:
        ExportError: files are missing or malformed, the adapter uses what B·A on the blocks'
            linear layers cannot express (the message names it), or it does not fit the model.
    """
    config = _read_config(folder)
    rank, alpha = config["r"], float(config["lora_alpha"])
    if config.get("use_rslora"):
        alpha *= math.sqrt(rank)
    weights_path = folder / _WEIGHTS_NAME
    try:
        tensors = {name: value.float().numpy() for name, value in load_file(weights_path).items()}
    except (OSError, SafetensorError) as error:
        raise ExportError(
            f"cannot read the adapter's weights: {error}", file=weights_path
        ) from error
    shapes: dict[tuple[int, str, str], tuple[int, int]] = {}
    for name, value in tensors.items():
        key = parse_peft_name(name)
        expected = _expected_shape(architecture, key, rank) if key else None
        if key is None or expected is None or value.shape != expected:
            raise ExportError(
                f"the adapter's tensor {name} of shape {tuple(value.shape)} is not a LoRA matrix "
                f"of rank {rank} for this model",
                remedy="use an adapter of the model's linear layers, of the same model",
                file=weights_path,
            )
        shapes[key] = expected
    halves = {(layer, module) for layer, module, _ in shapes}
    if len(shapes) != len(tensors) or len(shapes) != 2 * len(halves) or not shapes:
        raise ExportError("the adapter's A and B matrices do not pair up", file=weights_path)
    layout = LoraLayout.from_shapes(shapes, rank=rank, alpha=alpha)
    return PeftAdapter(layout, layout.flatten(tensors))


def save_peft_adapter(folder: Path, manifest: Manifest, values: NDArray[np.float32]) -> None:
    """Writes LoRA values, float32 [parameters], as a folder that `peft` loads."""
    layout = manifest.lora
    family = manifest.architecture.family
    targets, layers = _targets(layout, family)
    config = LoraConfig(
        r=layout.rank,
        lora_alpha=layout.alpha,  # type: ignore[arg-type]  # PEFT takes any number
        target_modules=targets,
        layers_to_transform=layers,
        # With SEQ_CLS, PEFT would look for a trained head in the adapter.
        task_type=None if manifest.architecture.classes else TaskType.CAUSAL_LM,
        base_model_name_or_path=manifest.source,
        inference_mode=True,
    )
    description = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(folder / _WEIGHTS_NAME) as temporary:
        save_file(
            {
                peft_name(family, tensor): np.ascontiguousarray(matrix)
                for tensor, matrix in layout.unflatten(values).items()
            },
            temporary,
            metadata={"format": "pt"},
        )
    write_atomically(folder / _CONFIG_NAME, json.dumps(description, indent=2) + "\n")


def _targets(layout: LoraLayout, family: str) -> tuple[list[str], list[int] | None]:
    """`target_modules` and `layers_to_transform` that make PEFT adapt just this layout.

    PEFT adapts every target in every listed layer; a layout that is not such a grid names each
    module in full.
    """
    adapted = {(tensor.layer, tensor.module) for tensor in layout.tensors}
    modules = sorted({module for _, module in adapted})
    if len(adapted) == len(modules) * len(layout.layers):
        # The one block of an ALBERT has no number that PEFT could choose it by.
        return modules, None if family == "albert" else list(layout.layers)
    return [module_name(family, t) for t in layout.tensors if t.matrix == "A"], None


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"cannot read the adapter's configuration: {error}",
            remedy="give the folder that peft's save_pretrained wrote",
            file=path,
        ) from error
    problem = _problem(config)
    if problem:
        raise ExportError(
            f"this adapter has {problem}, which is not supported",
            remedy="use a plain LoRA adapter of the attention and feed-forward linear layers",
            file=path,
        )
    return config


def _problem(config: Any) -> str | None:
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        return f"the type {kind!r} instead of LoRA"
    for setting, name in _REFUSED_SETTINGS.items():
        if config.get(setting):
            return name
    if config.get("bias", "none") != "none":
        return f"trained biases (bias={config['bias']!r})"
    targets = config.get("target_modules")
    named = (
        {str(each).rpartition(".")[2] for each in targets} if isinstance(targets, list) else set()
    )
    foreign = named - {*TARGET_MODULES, *ENCODER_MODULES}
    if foreign:
        return f"LoRA on {', '.join(sorted(foreign))}"
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float) or alpha <= 0:
        return f"rank {rank!r} and alpha {alpha!r}"
    return None


def _expected_shape(
    architecture: Architecture, key: tuple[int, str, str], rank: int
) -> tuple[int, int] | None:
    """The shape of a LoRA matrix in this model, None for a layer or module that it lacks."""
    layer, module, matrix = key
    is_encoder = architecture.classes is not None
    if layer >= architecture.layers or is_encoder != (module in ENCODER_MODULES):
        return None
    queries = architecture.heads * architecture.head_size
    keys = architecture.key_value_heads * architecture.head_size
    hidden, inner = architecture.hidden_size, architecture.feed_forward_size
    inputs, outputs = {
        "q_proj": (hidden, queries),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (queries, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
        **dict.fromkeys(ENCODER_MODULES, (hidden, hidden)),
    }[module]
    return (rank, inputs) if matrix == "A" else (outputs, rank)
