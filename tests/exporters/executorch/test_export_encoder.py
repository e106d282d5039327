"""An encoder's bundle: its programs against PyTorch, its manifest, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModel, AutoModelForSequenceClassification

from exporters.errors import ExportError
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.lora.attach import attach_saved
from exporters.lora.peft_adapter import read_peft_adapter, save_peft_adapter
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from tests.exporters.executorch.models import write_encoder

LORA = LoraRequest(rank=2)
PROGRAMS = ProgramRequest(((2, 6),), loss_slots=(2,), tangent_slots=(2,))


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ALBERT of three classes."""
    return write_encoder(tmp_path_factory.mktemp("models") / "albert", "albert")


@pytest.fixture(scope="session")
def encoder_bundle(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_executorch(
        str(encoder_folder),
        tmp_path_factory.mktemp("bundles") / "albert",
        lora=LORA,
        programs=PROGRAMS,
        quantization="f32",
        parity_directions=4,
    )


def assert_exact(bundle: Bundle) -> None:
    parity = bundle.manifest.parity
    assert parity is not None
    assert parity.relative_loss_difference < 1e-5
    assert parity.slope_error is not None and parity.slope_error < 1e-3
    assert parity.reference is None  # devices compare next-token losses


def test_programs_are_exact(encoder_bundle: Bundle) -> None:
    assert_exact(encoder_bundle)


def test_those_of_a_family_without_token_types_are_exact(tmp_path: Path) -> None:
    bundle = export_executorch(
        str(write_encoder(tmp_path / "model", "distilbert")),
        tmp_path / "bundle",
        lora=LORA,
        programs=PROGRAMS,
        quantization="f32",
        parity_directions=4,
    )
    assert_exact(bundle)


def test_its_adapter_goes_to_peft_and_back(
    encoder_bundle: Bundle, encoder_folder: Path, tmp_path: Path
) -> None:
    manifest = encoder_bundle.manifest
    values = np.random.default_rng(0).standard_normal(manifest.lora.parameters)
    save_peft_adapter(tmp_path / "adapter", manifest, values.astype(np.float32))
    again = read_peft_adapter(tmp_path / "adapter", manifest.architecture)
    assert again.layout == manifest.lora
    assert again.values == pytest.approx(values, rel=1e-6)
    model = AutoModelForSequenceClassification.from_pretrained(encoder_folder)
    attach_saved(model, LoraRequest(peft_folder=tmp_path / "adapter"), again)


def test_the_manifest_describes_a_classifier(encoder_bundle: Bundle) -> None:
    manifest = Bundle(encoder_bundle.folder).manifest
    assert manifest.architecture.family == "albert" and manifest.architecture.classes == 3
    assert manifest.tokenizer_kind == "wordpiece"
    # The layers share their LoRA.
    assert manifest.lora.layers == (0,)
    assert {each.module for each in manifest.lora.tensors} == {"query", "value"}
    for program in manifest.programs:
        assert [each.name for each in program.inputs][:4] == [
            "tokens", "mask", "targets", "weights",
        ]  # fmt: skip
        assert program.positions == program.batch
        assert program.delegation.subgraphs <= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": LoraRequest(rank=2, targets=("q_proj",))}, "query"),
        ({"programs": ProgramRequest(((2, 6),), positions="all")}, "one loss per sequence"),
    ],
)
def test_requests_of_a_decoder_are_refused(
    changes: dict[str, Any], message: str, encoder_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        export_executorch(
            str(encoder_folder), tmp_path / "b", **({"lora": LORA, "programs": PROGRAMS} | changes)
        )


def test_a_model_without_a_head_needs_classes(encoder_folder: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(encoder_folder).save_pretrained(tmp_path / "bare")
    with pytest.raises(ExportError, match="--classes"):
        export_executorch(str(tmp_path / "bare"), tmp_path / "b", lora=LORA, programs=PROGRAMS)


def test_a_decoder_has_no_classes(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="vocabulary"):
        export_executorch(
            str(model_folder), tmp_path / "b", classes=3, lora=LORA, programs=PROGRAMS
        )
