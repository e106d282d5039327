"""Bundles compute what the PyTorch model computes, on one copy of the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporters.errors import ExportError, UnsupportedModelError
from exporters.executorch.batches import next_token_runs
from exporters.executorch.engine import Engine
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle, Manifest, Parity, Program
from tests.exporters.executorch.conftest import LORA
from tests.exporters.models import random_llama

ANY = ProgramRequest(((1, 4),))


def parity_of(bundle: Bundle) -> Parity:
    assert bundle.manifest.parity is not None
    return bundle.manifest.parity


def values_of(bundle: Bundle) -> np.ndarray:
    return np.fromfile(bundle.adapter, dtype="<f4")


def mean_of(bundle: Bundle, program: Program, reference: Parity) -> np.ndarray:
    assert reference.reference is not None
    values = values_of(bundle)
    if program.kind == "loss":
        lora = {"lora": np.stack([values] * program.slots)}
    else:
        directions = np.zeros((program.slots, len(values)), dtype=np.float32)
        lora = {"lora": values, "directions": directions}
    sequences = np.array(reference.reference.sequences)
    runs = next_token_runs(program, sequences)
    return Engine(bundle.folder).total(program, runs, lora)


def test_float_programs_are_exact(f32_bundle: Bundle) -> None:
    parity = parity_of(f32_bundle)
    assert parity.relative_loss_difference < 1e-5
    assert parity.slope_error is not None and parity.slope_error < 1e-4
    assert parity.epsilon is None


def test_programs_of_all_sizes_agree(f32_bundle: Bundle) -> None:
    """All methods load from the one weights file, and parts of a batch add up to it."""
    parity = parity_of(f32_bundle)
    manifest = f32_bundle.manifest
    assert {(each.kind, each.batch, each.length) for each in manifest.programs} == {
        (kind, *shape) for kind in ("loss", "tangent") for shape in ((2, 8), (1, 4))
    }
    for program in manifest.programs:
        if program.length >= parity.tokens:
            assert mean_of(f32_bundle, program, parity)[0] == pytest.approx(
                parity.reference_loss, rel=1e-5
            )


def test_weights_are_on_disk_once(f32_bundle: Bundle) -> None:
    """The table and the tied output matrix of four methods are one piece of the file."""
    shapes = f32_bundle.manifest.architecture
    hidden, inner = shapes.hidden_size, shapes.feed_forward_size
    attention = 2 * hidden * (shapes.heads + shapes.key_value_heads) * shapes.head_size
    weights = shapes.vocabulary_size * hidden + attention + 3 * hidden * inner
    assert f32_bundle.base.stat().st_size < 4 * weights * 1.2
    program = f32_bundle.folder / f32_bundle.manifest.file("program").name
    assert program.stat().st_size < 4 * weights


def test_the_manifest_is_read_back(f32_bundle: Bundle) -> None:
    manifest = Bundle(f32_bundle.folder).manifest
    assert manifest.format == "executorch" and manifest.backend == "xnnpack"
    assert f32_bundle.base.name == "weights.ptd" and f32_bundle.adapter.name == "adapter.f32"
    assert f32_bundle.adapter.stat().st_size == 4 * manifest.lora.parameters
    loss = next(each for each in manifest.programs if each.kind == "loss")
    assert [each.name for each in loss.inputs] == [
        "tokens", "rows", "targets", "weights", "logit_bias", "lora",
    ]  # fmt: skip
    assert [each.shape for each in loss.outputs] == [(loss.slots,), (loss.positions,)]


def test_the_delegate_takes_all_but_look_ups(f32_bundle: Bundle, quantized_bundle: Bundle) -> None:
    for bundle in (f32_bundle, quantized_bundle):
        for program in bundle.manifest.programs:
            delegation = program.delegation
            assert delegation.subgraphs <= 3
            assert delegation.delegated > 3 * sum(delegation.portable.values())
            assert not {"mm", "bmm", "linear", "mul", "add"} & set(delegation.portable)


def test_quantized_slopes_point_the_same_way(quantized_bundle: Bundle) -> None:
    parity = parity_of(quantized_bundle)
    assert parity.relative_loss_difference < 0.2
    floor = {"int8": 0.98, "8da4w": 0.7}[quantized_bundle.manifest.quantization]
    assert parity.slope_cosine is not None and parity.slope_cosine > floor


def test_quantized_weights_are_smaller(quantized_bundle: Bundle, f32_bundle: Bundle) -> None:
    assert quantized_bundle.base.stat().st_size < 0.5 * f32_bundle.base.stat().st_size


def test_foreign_models_are_refused(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", hidden_act="gelu")
    with pytest.raises(UnsupportedModelError, match="gelu"):
        export_executorch(str(folder), tmp_path / "b", lora=LORA, programs=ANY)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": "abacus"}, "xnnpack"),
        ({"quantization": "q4_0"}, "int8"),
        ({"programs": ProgramRequest(((1, 4096),))}, "context of 128"),
        ({"lora": LoraRequest(rank=0)}, "positive rank"),
    ],
)
def test_mistakes_are_told_before_the_model_is_loaded(
    changes: dict, message: str, model_folder: Path, tmp_path: Path
) -> None:
    arguments = {"lora": LORA, "programs": ANY} | changes
    with pytest.raises(ExportError, match=message):
        export_executorch(str(model_folder), tmp_path / "b", **arguments)


def test_four_bits_need_dividing_widths(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", num_hidden_layers=1, intermediate_size=40)
    with pytest.raises(ExportError, match="int8 or f32"):
        export_executorch(
            str(folder), tmp_path / "b", lora=LORA, programs=ANY, quantization="8da4w"
        )


def test_a_gguf_manifest_has_no_programs(f32_bundle: Bundle) -> None:
    fields = f32_bundle.manifest.model_dump()
    with pytest.raises(ValueError, match="gguf with 4 programs"):
        Manifest.model_validate(fields | {"format": "gguf"})
