"""PEFT folders, in and out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from exporters.errors import ExportError
from exporters.gguf.export import LoraRequest, export_gguf
from exporters.lora.attach import values_of
from exporters.lora.peft_adapter import read_peft_adapter, save_peft_adapter
from exporters.manifest import Bundle


def save_peft(model_folder: Path, folder: Path, **settings: Any) -> Path:
    """An adapter with random A and B, saved by peft itself."""
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    fields = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]} | settings
    peft_model = peft.get_peft_model(model, peft.LoraConfig(**fields))
    generator = torch.Generator().manual_seed(1)
    for name, values in peft_model.named_parameters():
        if "lora_" in name:
            values.data = 0.1 * torch.randn(values.shape, generator=generator)
    peft_model.save_pretrained(folder)
    return folder


def random_values(bundle: Bundle) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    return generator.standard_normal(bundle.manifest.lora.parameters, dtype=np.float32)


def test_peft_loads_what_was_saved(
    llama_folder: Path, llama_bundle: Bundle, tmp_path: Path
) -> None:
    values = random_values(llama_bundle)
    save_peft_adapter(tmp_path / "adapter", llama_bundle.manifest, values)
    base = AutoModelForCausalLM.from_pretrained(llama_folder)
    model = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert np.array_equal(values_of(model, llama_bundle.manifest.lora), values)
    config = model.peft_config["default"]
    assert config.base_model_name_or_path == str(llama_folder)
    assert (config.r, config.lora_alpha) == (4, 8)


def test_what_was_saved_reads_back(llama_bundle: Bundle, tmp_path: Path) -> None:
    values = random_values(llama_bundle)
    save_peft_adapter(tmp_path / "adapter", llama_bundle.manifest, values)
    adapter = read_peft_adapter(tmp_path / "adapter", llama_bundle.manifest.architecture)
    assert adapter.layout == llama_bundle.manifest.lora
    assert np.array_equal(adapter.values, values)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"layers_to_transform": [1]},
        # Not every module in every layer: the adapter must name its modules.
        {"target_modules": ["layers.0.self_attn.q_proj", "layers.1.mlp.up_proj"]},
        {"target_modules": r".*\.(0\.self_attn\.k_proj|1\.self_attn\.o_proj)"},
    ],
)
def test_a_peft_adapter_exports_and_comes_back(
    llama_folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    saved = save_peft(llama_folder, tmp_path / "saved", **settings)
    bundle = export_gguf(
        str(llama_folder),
        tmp_path / "bundle",
        quantization="f32",
        lora=LoraRequest(peft_folder=saved),
        parity_directions=4,
    )
    parity = bundle.manifest.parity
    assert parity is not None and parity.slope_cosine is not None
    assert parity.relative_loss_difference < 1e-4
    assert parity.slope_cosine > 0.999
    adapter = read_peft_adapter(saved, bundle.manifest.architecture)
    save_peft_adapter(tmp_path / "again", bundle.manifest, adapter.values)
    tokens = torch.arange(16)[None]
    losses = []
    for folder in (saved, tmp_path / "again"):
        base = AutoModelForCausalLM.from_pretrained(llama_folder)
        model = peft.PeftModel.from_pretrained(base, str(folder)).eval()
        losses.append(float(model(tokens, labels=tokens).loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
    ],
)
def test_adapters_that_are_more_than_lora_are_refused_by_name(
    llama_folder: Path, llama_bundle: Bundle, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    folder = save_peft(llama_folder, tmp_path / "adapter", **settings)
    with pytest.raises(ExportError, match=reason):
        read_peft_adapter(folder, llama_bundle.manifest.architecture)


def _edit_config(**fields: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return edit


def _truncate_weights(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate_weights, "weights"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "weights"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "configuration"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "configuration"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "type"),
        (_edit_config(peft_type="IA3"), "IA3"),
        (_edit_config(r=3), "rank 3"),
        (_edit_config(r="many"), "many"),
        (_edit_config(lora_alpha=None), "alpha"),
    ],
)
def test_damaged_adapters_are_refused(
    llama_folder: Path,
    llama_bundle: Bundle,
    tmp_path: Path,
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    folder = save_peft(llama_folder, tmp_path / "adapter")
    damage(folder)
    with pytest.raises(ExportError, match=reason) as refusal:
        read_peft_adapter(folder, llama_bundle.manifest.architecture)
    assert refusal.value.file is not None


def test_an_adapter_of_another_model_is_refused(
    llama_folder: Path, llama_bundle: Bundle, tmp_path: Path
) -> None:
    folder = save_peft(llama_folder, tmp_path / "adapter")
    architecture = llama_bundle.manifest.architecture
    for change in ({"hidden_size": 128}, {"layers": 1}, {"key_value_heads": 4}):
        with pytest.raises(ExportError, match="not a LoRA matrix"):
            read_peft_adapter(folder, architecture.model_copy(update=change))


def test_an_adapter_that_lacks_tensors_of_its_configuration_is_refused(
    llama_folder: Path, tmp_path: Path
) -> None:
    folder = save_peft(llama_folder, tmp_path / "adapter")
    _edit_config(target_modules=["q_proj", "v_proj", "k_proj"])(folder)
    with pytest.raises(ExportError, match="configuration"):
        export_gguf(str(llama_folder), tmp_path / "bundle", lora=LoraRequest(peft_folder=folder))
    assert not (tmp_path / "bundle").exists()
