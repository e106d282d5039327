"""OpenVINO's programs run here, by the runtime in ExecuTorch's wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from tests.exporters.executorch.conftest import LORA

pytest.importorskip("openvino", reason="needs fwdllm-toolkit[npu]")
pytest.importorskip("nncf", reason="needs fwdllm-toolkit[npu]")


def test_programs_are_delegated_whole_and_exact(model_folder: Path, tmp_path: Path) -> None:
    bundle = export_executorch(
        str(model_folder),
        tmp_path / "b",
        lora=LORA,
        programs=ProgramRequest(((2, 8),), loss_slots=(2,), tangent_slots=(3,)),
        backend="openvino",
        parity_directions=4,
    )
    manifest = bundle.manifest
    for program in manifest.programs:
        assert program.delegation.subgraphs == 1
        assert program.delegation.portable == {}
    parity = manifest.parity
    assert parity is not None and "openvino" in parity.engine
    assert parity.relative_loss_difference < 1e-5
    # bfloat16 would be off by percents.
    assert parity.slope_error is not None and parity.slope_error < 1e-4
    assert manifest.environment == {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    assert bundle.base.stat().st_size < 1024  # weights are compiled into the program
