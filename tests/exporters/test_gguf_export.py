"""Bundles compute what the PyTorch model computes, and appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from exporters.durable_files import sha256_of
from exporters.errors import ContractError, ExportError
from exporters.gguf.adapter import read_adapter_values, write_adapter
from exporters.gguf.export import LoraRequest, export_gguf
from exporters.gguf.llama_engine import LlamaEngine
from exporters.lora.directions import direction
from exporters.lora.layout import TARGET_MODULES
from exporters.manifest import (
    QUANTIZATIONS,
    Bundle,
    Manifest,
    Parity,
    Quantization,
    SlopeReference,
)
from tests.exporters.models import FAMILIES, random_llama

ALL_MODULES = LoraRequest(rank=4, alpha=8.0, targets=TARGET_MODULES)


def parity_of(bundle: Bundle) -> Parity:
    assert bundle.manifest.parity is not None
    return bundle.manifest.parity


def assert_exact(bundle: Bundle) -> None:
    parity = parity_of(bundle)
    assert parity.relative_loss_difference < 1e-5
    assert parity.slope_cosine is not None and parity.slope_cosine > 0.999


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_exact_in_f32(family: str, tmp_path: Path) -> None:
    model = random_llama(tmp_path / "model", **FAMILIES[family])
    bundle = export_gguf(str(model), tmp_path / "bundle", quantization="f32", lora=ALL_MODULES)
    assert_exact(bundle)
    assert bundle.manifest.architecture.family == FAMILIES[family].get("model_type", "llama")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_checkpoints_are_exact_in_f32(tmp_path: Path, dtype: torch.dtype) -> None:
    model = random_llama(tmp_path / "model", dtype=dtype)
    assert_exact(export_gguf(str(model), tmp_path / "b", quantization="f32", lora=ALL_MODULES))


@pytest.mark.parametrize(
    "family", ["llama", "llama-llama3-rope", "llama-linear-rope", "qwen2-tied"]
)
def test_an_exported_base_exports_again_to_the_same_numbers(family: str, tmp_path: Path) -> None:
    model = random_llama(tmp_path / "model", **FAMILIES[family])
    first = export_gguf(str(model), tmp_path / "first", quantization="f32", lora=ALL_MODULES)
    second = export_gguf(str(first.base), tmp_path / "second", quantization="f32", lora=ALL_MODULES)
    assert_exact(second)
    assert parity_of(second).reference_loss == pytest.approx(
        parity_of(first).reference_loss, rel=1e-6
    )
    kept = {"attention_bias", "tied_embeddings", "rope_scaling", "head_size", "heads", "layers"}
    before, after = first.manifest.architecture, second.manifest.architecture
    assert before.model_dump(include=kept) == after.model_dump(include=kept)


def test_the_exact_slopes_can_be_compared_with_elsewhere(
    llama_folder: Path, tmp_path: Path
) -> None:
    """From the manifest and the adapter alone: differences of the f32 artifact are the slopes."""
    bundle = export_gguf(
        str(llama_folder), tmp_path / "b", quantization="f32", lora=ALL_MODULES, seed=3,
        parity_directions=4,
    )  # fmt: skip
    parity = parity_of(Bundle(bundle.folder))  # as it is read back
    reference, layout = parity.reference, bundle.manifest.lora
    assert reference is not None
    assert len(reference.sequences) == parity.sequences
    assert {len(sequence) for sequence in reference.sequences} == {parity.tokens + 1}
    assert len(reference.directions) == len(reference.slopes) == parity.directions == 4

    values = read_adapter_values(bundle.adapter, bundle.manifest.architecture, layout)
    sequences = np.array(reference.sequences)
    measured = []
    with LlamaEngine(bundle.base, tokens=parity.tokens) as engine:
        for seed in reference.directions:
            losses = []
            for sign in (1, -1):
                path = tmp_path / "moved.gguf"
                moved = values + np.float32(sign * parity.epsilon) * direction(
                    seed, layout.parameters
                )
                write_adapter(path, bundle.manifest.architecture, layout, moved)
                with engine.adapter(path):
                    losses.append(engine.loss(sequences))
            measured.append((losses[0] - losses[1]) / (2 * parity.epsilon))
    error = np.linalg.norm(np.array(measured) - reference.slopes)
    assert error < 0.02 * np.linalg.norm(reference.slopes)


def test_without_directions_there_is_nothing_to_compare_with(llama_bundle: Bundle) -> None:
    parity = parity_of(llama_bundle)
    assert (parity.directions, parity.slope_cosine, parity.reference) == (0, None, None)


def test_a_manifest_of_before_exact_slopes_is_read(llama_bundle: Bundle, tmp_path: Path) -> None:
    content = json.loads((llama_bundle.folder / "manifest.json").read_text())
    del content["parity"]["reference"]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    assert Manifest.read(path) == llama_bundle.manifest


def test_a_slope_for_every_direction_or_none_is_read() -> None:
    with pytest.raises(ValidationError, match="1 slopes for 2 directions"):
        SlopeReference(sequences=((1, 2),), directions=(7, 8), slopes=(0.5,))


# What a random model of 2 layers loses to each quantization; garbled weights lose far more.
TOLERANCES: dict[Quantization, tuple[float, float]] = {
    "f32": (1e-5, 0.999),
    "f16": (1e-3, 0.999),
    "q8_0": (1e-2, 0.99),
    "q4_0": (5e-2, 0.8),
    "q4_k_m": (5e-2, 0.8),
}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quantizations_stay_near_the_model(
    quantization: Quantization, dtype: torch.dtype, tmp_path: Path
) -> None:
    # 256 columns divide into K-quant blocks; the feed-forward's 300 into none, so it falls back.
    model = random_llama(
        tmp_path / "model", hidden_size=256, intermediate_size=300, initializer_range=0.06,
        dtype=dtype,
    )  # fmt: skip
    bundle = export_gguf(
        str(model), tmp_path / "bundle", quantization=quantization, lora=LoraRequest(rank=4)
    )
    loss_tolerance, cosine = TOLERANCES[quantization]
    parity = parity_of(bundle)
    assert parity.relative_loss_difference < loss_tolerance
    assert parity.slope_cosine is not None and parity.slope_cosine > cosine
    types = {part.tensor_class: part.types for part in bundle.manifest.tensor_types}
    expected = {"q4_k_m": "q4_k"}.get(quantization, quantization)
    assert expected in types["attention"]
    assert types["norm"] == {"f32": 5}
    assert not list(bundle.folder.glob("unquantized*"))


def test_the_manifest_describes_the_files(llama_bundle: Bundle) -> None:
    described = {file.name: file for file in llama_bundle.manifest.files}
    present = {
        path.relative_to(llama_bundle.folder).as_posix()
        for path in llama_bundle.folder.rglob("*")
        if path.is_file()
    }
    assert present == {*described, "manifest.json"}
    for name, file in described.items():
        assert sha256_of(llama_bundle.folder / name) == file.sha256
    roles = [file.role for file in described.values()]
    assert roles.count("base") == roles.count("adapter") == 1
    assert "tokenizer" in roles


def test_the_adapters_tensors_are_the_layout(llama_bundle: Bundle) -> None:
    stored = [tensor.name for tensor in gguf.GGUFReader(llama_bundle.adapter).tensors]
    assert stored == [tensor.gguf_name for tensor in llama_bundle.manifest.lora.tensors]


def test_a_fresh_adapter_is_pefts_and_follows_the_seed(llama_folder: Path, tmp_path: Path) -> None:
    def values(seed: int) -> np.ndarray:
        bundle = export_gguf(
            str(llama_folder), tmp_path / "bundle", quantization="f32",
            lora=LoraRequest(rank=4, layers="last:1"), seed=seed, parity_directions=0,
        )  # fmt: skip
        layout = bundle.manifest.lora
        assert layout.layers == (1,)
        flat = read_adapter_values(bundle.adapter, bundle.manifest.architecture, layout)
        for tensor, matrix in layout.unflatten(flat).items():
            bound = 1 / np.sqrt(tensor.shape[1]) if tensor.matrix == "A" else 0.0
            assert np.abs(matrix).max() <= bound
            assert tensor.matrix == "B" or matrix.std() > bound / 3
        return flat

    first = values(1)
    assert np.array_equal(first, values(1))
    assert not np.array_equal(first, values(2))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_adapter_values_survive_the_file(
    llama_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.mktemp("adapter") / "adapter.gguf"
    manifest = llama_bundle.manifest
    values = np.random.default_rng(seed).standard_normal(manifest.lora.parameters, np.float32)
    write_adapter(path, manifest.architecture, manifest.lora, values)
    assert np.array_equal(read_adapter_values(path, manifest.architecture, manifest.lora), values)


def test_a_foreign_adapter_is_refused(llama_bundle: Bundle, tmp_path: Path) -> None:
    manifest = llama_bundle.manifest
    other = manifest.lora.model_copy(update={"alpha": 99.0})
    for path, layout in ((llama_bundle.base, manifest.lora), (llama_bundle.adapter, other)):
        with pytest.raises(ContractError):
            read_adapter_values(path, manifest.architecture, layout)
    (tmp_path / "torn.gguf").write_bytes(llama_bundle.adapter.read_bytes()[:200])
    with pytest.raises(ContractError, match="not a LoRA adapter"):
        read_adapter_values(tmp_path / "torn.gguf", manifest.architecture, manifest.lora)


def test_progress_names_every_stage_and_ends_each(llama_folder: Path, tmp_path: Path) -> None:
    steps: dict[str, list[tuple[int, int]]] = {}
    export_gguf(
        str(llama_folder), tmp_path / "bundle", lora=LoraRequest(), parity_directions=1,
        on_progress=lambda stage, done, total: steps.setdefault(stage, []).append((done, total)),
    )  # fmt: skip
    assert list(steps) == ["load", "write", "parity: reference", "quantize", "parity: artifact"]
    for progress in steps.values():
        assert progress == sorted(progress)
        done, total = progress[-1]
        assert done == total


def test_an_older_bundle_is_replaced(llama_folder: Path, tmp_path: Path) -> None:
    for rank in (2, 3):
        bundle = export_gguf(
            str(llama_folder), tmp_path / "bundle", lora=LoraRequest(rank=rank),
            parity_directions=0,
        )  # fmt: skip
        assert bundle.manifest.lora.rank == rank
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle"]


def test_a_folder_of_something_else_is_left_alone(llama_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="other than a bundle"):
        export_gguf(str(llama_folder), tmp_path, lora=LoraRequest())
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ExportError("disk full")])
def test_an_interrupted_export_leaves_nothing(
    llama_folder: Path, tmp_path: Path, failure: BaseException
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "parity: artifact":
            raise failure

    with pytest.raises(type(failure) if isinstance(failure, ExportError) else failure):  # type: ignore[arg-type]
        export_gguf(
            str(llama_folder), tmp_path / "bundle", lora=LoraRequest(), on_progress=interrupt
        )
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    model = random_llama(tmp_path / "model")
    deeper = (
        (model / "config.json")
        .read_text()
        .replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    (model / "config.json").write_text(deeper)
    with pytest.raises(ExportError, match=r"lacks weights.*layers\.2"):
        export_gguf(str(model), tmp_path / "bundle", lora=LoraRequest())
    assert not (tmp_path / "bundle").exists()


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    model = random_llama(tmp_path / "model")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ExportError, match="weights"):
        export_gguf(str(model), tmp_path / "bundle", lora=LoraRequest())


def test_weights_too_large_for_f16_are_refused(tmp_path: Path) -> None:
    model = random_llama(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] *= 1e6
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportError, match="not finite in float16"):
        export_gguf(str(model), tmp_path / "bundle", quantization="f16", lora=LoraRequest())


def test_llama_cpp_reports_what_it_cannot_load(llama_bundle: Bundle, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(llama_bundle.base.read_bytes()[:-5000])
    with pytest.raises(ExportError, match=r"does not load the model: .+"):
        LlamaEngine(torn, tokens=8)
    with LlamaEngine(llama_bundle.base, tokens=8) as engine:
        with (
            pytest.raises(ExportError, match=r"does not load the adapter: .+"),
            engine.adapter(llama_bundle.base),
        ):
            pass
        assert engine.tokenize("a")
