"""Programs for Arm's Ethos-U are compiled by Vela, and its estimates are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from tests.exporters.executorch.conftest import LORA

pytest.importorskip("ethosu.vela", reason="needs fwdllm-toolkit[npu]")
pytest.importorskip("tosa_serializer", reason="needs fwdllm-toolkit[npu]")


def test_a_loss_program_is_compiled_with_an_estimate(model_folder: Path, tmp_path: Path) -> None:
    bundle = export_executorch(
        str(model_folder),
        tmp_path / "b",
        lora=LORA,
        programs=ProgramRequest(((1, 4),), kinds=("loss",), loss_slots=(1,)),
        backend="ethos-u",
        soc="ethos-u85-256",
        quantization="int8",
        parity_directions=0,
    )
    manifest = bundle.manifest
    assert manifest.soc == "ethos-u85-256" and manifest.quantization == "int8"
    assert manifest.parity is None  # nothing here has the processor
    (program,) = manifest.programs
    assert program.delegation.delegated > 100
    estimate = program.estimate
    assert estimate is not None and estimate.provenance == "modelled"
    assert estimate.processor == "ethos-u85-256" and estimate.clock_hz == 1e9
    assert estimate.parts == program.delegation.subgraphs
    assert estimate.runs_per_second == pytest.approx(estimate.clock_hz / estimate.cycles)
    shapes = manifest.architecture
    products = shapes.hidden_size * (3 * shapes.feed_forward_size + shapes.vocabulary_size)
    assert estimate.multiply_accumulates > products
    assert estimate.weight_bytes["dram"] > products // 2  # 8 bits, compressed
    assert estimate.memory_bytes["sram"] < 384 * 1024
